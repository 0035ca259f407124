"""The 93 languages that examples are written in, and how often each is drawn.

Owns `languages.tsv`: the languages of XLM-R (arXiv 1911.02116; romanised and regional spellings count as
their language) with the shares of E5-mistral's figure 2. The rule: the paper's fourteen named languages
have its percentages, and the rest share what is left equally, about 0.25 % each.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """One language."""

    code: str
    """ISO 639-1."""
    name: str
    """Its English name, as prompts say it."""
    percent: float
    """Share of the examples in the paper's figure 2."""


@cache
def languages() -> dict[str, Language]:
    """Return code -> language, sorted by code."""
    text = resources.files("harness.synthesis").joinpath("languages.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines()[1:]]
    named = {code: float(percent) for code, _, percent in rows if percent}
    left = (100.0 - sum(named.values())) / (len(rows) - len(named))
    return {
        code: Language(code=code, name=name, percent=named.get(code, left)) for code, name, _ in rows
    }


def paper_shares() -> dict[str, float]:
    """Return code -> percent, which sum to 100."""
    return {language.code: language.percent for language in languages().values()}
