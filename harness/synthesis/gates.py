"""The gates: which examples are kept, and the reason for every one that is not.

Owns their order, the cheap ones first, and the check of a text's shape. The rule: an example passes all
gates or is dropped for the first that it fails; the verdict on draw i depends on draws 0 to i alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from harness.data.pairs import Pair
from harness.synthesis.answers import Refused
from harness.synthesis.document import Gates
from harness.synthesis.draws import Draw
from harness.synthesis.duplicates import Duplicates
from harness.synthesis.identify import wrong_language
from harness.synthesis.kinds import KINDS, Field
from harness.synthesis.similarity import Similarity

_FIELD_NAMES = {field.name.casefold() for kind in KINDS.values() for field in kind.fields}
_ECHO_CHARACTERS = 25
"""A text this long that stands in the prompt was copied from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One example that was read from an answer."""

    draw: Draw
    task: str | None
    prompt: str
    """What was asked."""
    texts: Mapping[str, str]
    """Field -> text."""

    def by_role(self, role: str) -> list[str]:
        """Return the texts of one role."""
        return [self.texts[field.name] for field in KINDS[self.draw.kind].fields if field.role == role]

    def pair(self, instruction: str) -> Pair:
        """Return the example as a training pair, whose dataset is its kind."""
        return Pair(
            query=self.by_role("query")[0],
            positive=self.by_role("positive")[0],
            negatives=tuple(self.by_role("negative")),
            dataset=self.draw.kind,
            instruction=self.task or instruction,
        )


class Gatekeeper:
    """All gates, with the memory of what passed.

    Args:
        settings: Which gates, and how strict.
        similarity: The embedder's gate; None where there is none.
    """

    def __init__(self, settings: Gates, similarity: Similarity | None) -> None:
        self._settings = settings
        self._similarity = similarity
        self._duplicates = Duplicates(settings.near_duplicates)

    def refuse(self, example: Example) -> Refused | None:
        """Return why an example is dropped; None for one that is kept."""
        refused = (
            self._shape(example)
            or _copied(example)
            or self._language(example)
            or (self._similarity.refuse(example) if self._similarity else None)
        )
        # Last, since only what is kept is remembered.
        return refused or self._duplicates.refuse_or_add(example.texts, example.draw.index)

    def _shape(self, example: Example) -> Refused | None:
        prompt = _plain(example.prompt)
        for field in KINDS[example.draw.kind].fields:
            text = example.texts[field.name]
            least, most = self._bounds(field)
            if len(text) < least:
                return Refused(reason="too short", detail=f"{field.name}: {len(text)} characters")
            if len(text) > most:
                return Refused(reason="too long", detail=f"{field.name}: {len(text)} characters")
            share = repetition(text)
            if share > self._settings.max_repetition:
                return Refused(reason="repetitive", detail=f"{field.name}: {share:.2f}, {text[-60:]}")
            if _is_echo(_plain(text), prompt, task=_plain(example.task or "")):
                return Refused(reason="echo of the prompt", detail=f"{field.name}: {text[:80]}")
        return None

    def _bounds(self, field: Field) -> tuple[int, int]:
        return self._settings.long_characters if field.is_long else self._settings.short_characters

    def _language(self, example: Example) -> Refused | None:
        if not self._settings.language:
            return None
        fields = KINDS[example.draw.kind].fields
        for code, in_target in ((example.draw.language, False), (example.draw.target, True)):
            texts = [example.texts[field.name] for field in fields if field.in_target == in_target]
            if code is None or not texts:
                continue
            wrong = wrong_language(texts, code, least_probability=self._settings.language_probability)
            if wrong is not None:
                return Refused(reason="wrong language", detail=wrong)
        return None


def repetition(text: str) -> float:
    """Return the share of a text's words that end a run of three words seen before in the text.

    Texts without spaces are taken by characters.
    """
    words = text.casefold().split()
    if len(words) < 3 and len(text) >= 30:
        words = list(text)
    runs = list(zip(words, words[1:], words[2:], strict=False))
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def _is_echo(text: str, prompt: str, *, task: str) -> bool:
    """Return whether a text was copied from what was asked.

    A short one may well be in the task (a label often is), and a single word may be anywhere.
    """
    if len(text) >= _ECHO_CHARACTERS:
        return text in prompt
    is_phrase = len(text.split()) > 1 or text in _FIELD_NAMES
    return is_phrase and text in prompt.replace(task, "") if task else is_phrase and text in prompt


def _copied(example: Example) -> Refused | None:
    seen: dict[str, str] = {}
    for field in KINDS[example.draw.kind].fields:
        text = _plain(example.texts[field.name])
        if text in seen:
            return Refused(reason="copied", detail=f"{field.name} is {seen[text]}")
        seen[text] = field.name
    return None


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().casefold()
