"""Which language a text is in.

Owns the question and nothing of the answer: py3langid (a naive Bayes classifier over byte n-grams, after
Lui and Baldwin, ACL 2012) knows 97 languages, with its model inside the package. The rule: the same
text has the same language, with no network and no randomness.
"""

from __future__ import annotations

import py3langid

UNKNOWN = "und"
"""Language of texts without a letter; ISO 639-2's code for undetermined."""
_MOST = 2000
"""Characters that are looked at: more change nothing but the time."""


def language_of(text: str) -> str:
    """Return a text's language as ISO 639-1, `und` where it has no letters."""
    start = text.strip()[:_MOST]
    if not any(character.isalpha() for character in start):
        return UNKNOWN
    language, _ = py3langid.classify(start)
    return str(language)
