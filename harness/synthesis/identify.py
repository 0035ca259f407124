"""Which language a text is in.

Owns the use of py3langid (139 languages, its model in the package). The rule: it is asked among the
languages that prompts can ask for; of three of those (Sindhi, Sundanese, Yiddish) it knows nothing, and
a text that should be in one of them is not judged, which is counted.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from harness.synthesis.languages import languages

_LEAST_LETTERS = 40
"""Shorter texts are judged together with the others of their language."""


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    known = set(identifier.nb_classes)
    identifier.set_languages(sorted(code for code in languages() if code in known))
    return identifier


@cache
def identifiable() -> frozenset[str]:
    """Return the codes that can be told from each other."""
    return frozenset(_identifier().nb_classes)


def wrong_language(texts: list[str], expected: str, *, least_probability: float) -> str | None:
    """Return what is wrong with texts that should be in one language; None if nothing is.

    All texts together are judged, and each that is long enough on its own.

    Args:
        texts: Texts of one example.
        expected: Code of their language.
        least_probability: Of that language, given that it is not the likeliest.
    """
    if expected not in identifiable():
        return None
    for text in ["\n".join(texts), *(text for text in texts if _num_letters(text) >= _LEAST_LETTERS)]:
        ranked = dict(_identifier().rank(text))
        seen = next(iter(ranked))
        if seen != expected and ranked.get(expected, 0.0) < least_probability:
            return f"{expected} was asked for, {seen} was written: {text[:80]}"
    return None


def _num_letters(text: str) -> int:
    # A letter of Chinese, Japanese or Korean says as much as about three of an alphabet.
    return sum(3 if ord(one) >= 0x2E80 else 1 for one in text if one.isalpha())
