"""Languages, and groups of them, into which the parts of a task fall.

Owns the axes below a task and the reading of `language_groups.json`, whose groupings are other
people's, each with its source. The rule: a part of a task in several languages, such as a pair of texts,
belongs to each of its languages, but to one group: the last that one of its languages is in, since a
pair with English is as hard as its other side. A part whose languages nobody recorded is in none.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

LANGUAGE = "language"
GROUPINGS = ("resource", "e5-resource")
"""Axes by which languages fall into groups."""
PART_AXES = (LANGUAGE, *GROUPINGS)
"""Properties of the parts of a task that can be rows or columns."""

_NO_LANGUAGE = frozenset({"mis", "mul", "und", "zxx"})
"""Codes of ISO 639 for what is in no language, or in none that is known."""
_PROGRAMS = "-Code"
_FEW = 12
"""Up to so many languages of a group are listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """One way to put languages into groups."""

    meaning: str
    source: str
    groups: dict[str, tuple[str, ...]]
    """Group -> ISO 639-3 codes."""
    others: str
    """The group of all languages that are in no other one."""

    @property
    def names(self) -> tuple[str, ...]:
        """Return the groups in order, the one of all others last."""
        return (*self.groups, self.others)

    def of(self, languages: Iterable[str]) -> str:
        """Return the group of a part in these languages, such as `eng-Latn`; empty without any."""
        codes = [
            code
            for code, _, script in (one.partition("-") for one in languages)
            if script != _PROGRAMS[1:] and code not in _NO_LANGUAGE
        ]
        found = {self._group(code) for code in codes}
        return max(found, key=self.names.index, default="")

    def _group(self, code: str) -> str:
        return next((name for name, codes in self.groups.items() if code in codes), self.others)


@cache
def grouping(name: str) -> Grouping:
    """Return one of `GROUPINGS`."""
    text = resources.files("harness.tables").joinpath("language_groups.json").read_text(encoding="utf-8")
    plain = json.loads(text)[name]
    groups = {group: tuple(codes) for group, codes in plain["groups"].items()}
    return Grouping(
        meaning=plain["meaning"], source=plain["source"], groups=groups, others=plain["others"]
    )


def in_order(axis: str, names: Iterable[str]) -> list[str]:
    """Return the values of an axis as tables list them: groups in their own order."""
    if axis not in GROUPINGS:
        return list(names)
    return sorted(names, key=grouping(axis).names.index)


@cache
def labels(languages: tuple[str, ...], by: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Return what a part in these languages counts as, on each axis of `by`.

    One tuple for each combination, since it counts in each of its languages.
    """
    on_axis = [
        (languages or ("",)) if axis == LANGUAGE else (grouping(axis).of(languages),) for axis in by
    ]
    return tuple(itertools.product(*on_axis))


def describe_grouping(name: str, languages: Iterable[str]) -> list[str]:
    """Return sentences that say what the groups are, and which of `languages` are in them."""
    found = grouping(name)
    members: dict[str, list[str]] = {group: [] for group in found.names}
    for language in dict.fromkeys(languages):
        group = found.of([language])
        if group:
            members[group].append(language)
    listed = [f"{group}: {_listed(sorted(codes))}" for group, codes in members.items() if codes]
    meaning = f"Groups of languages by {name}: {found.meaning} ({found.source})."
    rule = "A part of a task in several languages is in the last of their groups."
    return [meaning, rule, f"Here {'; '.join(listed)}."] if listed else [meaning, rule]


def _listed(codes: Sequence[str]) -> str:
    return ", ".join(codes) if len(codes) <= _FEW else f"{len(codes)} languages"
