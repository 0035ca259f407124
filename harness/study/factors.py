"""Factors as a study file has them: levels by name, each a set of overrides.

Owns the reading of `factors` and of levels that are named elsewhere. The rule: a level sets fields that
a recipe has, and says where in the file. Combining levels is left to `variants`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from harness.errors import did_you_mean
from harness.study.document import StudyDocument
from harness.study.recipe import Recipe
from harness.study.source_text import FieldPath, SourceText, dotted
from harness.study.validation import allowed_fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One field that a level sets, and where the file says so."""

    target: FieldPath
    value: Any
    where: FieldPath


Levels = dict[str, list[Override]]


def read_factors(document: StudyDocument, source: SourceText) -> dict[str, Levels]:
    """Return factor -> level -> overrides.

    Raises:
        StudyError: For an empty factor, a duplicate level, or a field that no recipe has.
    """
    return {name: _read_factor(name, levels, source) for name, levels in document.factors.items()}


def _read_factor(name: str, levels: Any, source: SourceText) -> Levels:
    where: FieldPath = ("factors", name)
    if not isinstance(levels, (list, dict)):
        raise source.error(where, f"a factor is a list of values or a mapping of levels, not {levels!r}")
    if not levels:
        raise source.error(
            where, "this factor has no levels", cure="give at least two, or remove the factor"
        )
    found: Levels = {}
    if isinstance(levels, list):
        target = tuple(name.split("."))
        _check_target(target, where, source)
        for index, value in enumerate(levels):
            level = level_name(value)
            if level in found:
                raise source.error((*where, index), f"level {level!r} stands twice")
            found[level] = [Override(target=target, value=value, where=(*where, index))]
        return found
    for level, overrides in levels.items():
        if not isinstance(overrides, dict):
            raise source.error(
                (*where, level),
                f"a level is a mapping of field paths to values, not {overrides!r}",
                cure="for example `on: {reconstruction.steps: 100}`; `{}` leaves the recipe as it is",
            )
        found[level] = []
        for path, value in overrides.items():
            target = tuple(path.split("."))
            _check_target(target, (*where, level, path), source)
            found[level].append(Override(target=target, value=value, where=(*where, level, path)))
    return found


def level_name(value: Any) -> str:
    """Return the name of a level that is given as a bare value."""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _check_target(target: FieldPath, where: FieldPath, source: SourceText) -> None:
    if target == ("seed",):
        raise source.error(where, "a seed is no factor", cure="list the study's seeds under `seeds`")
    depth = next((d for d in range(len(target)) if target[d] not in _fields_at(target[:d])), None)
    if depth is None:
        return
    known = ", ".join(_fields_at(target[:depth])) or "no fields"
    is_factor = where == ("factors", dotted(target))
    raise source.error(
        where,
        f"no recipe has a field {dotted(target)!r}; {dotted(target[:depth]) or 'a recipe'} has: {known}."
        f"{_hint(dotted(target))}",
        cure="a name that is no field takes a mapping of levels: `NAME: {off: {}, on: {FIELD: VALUE}}`"
        if is_factor
        else "",
    )


def _hint(path: str) -> str:
    leaf = path.rpartition(".")[2]
    alike = [known for known in _all_fields() if known.rpartition(".")[2] == leaf]
    if len(alike) > 1 and "." not in path:
        return f" Fields of that name: {', '.join(alike)}."
    return did_you_mean(path, alike) or did_you_mean(path, _all_fields())


@cache
def _fields_at(path: FieldPath) -> list[str]:
    return allowed_fields(Recipe, path)


@cache
def _all_fields(below: FieldPath = ()) -> list[str]:
    """Return the dotted paths of all fields of a recipe."""
    found = []
    for name in _fields_at(below):
        inner = _all_fields((*below, name))
        found += inner or [dotted((*below, name))]
    return found


def resolve_baseline(
    document: StudyDocument, factors: Mapping[str, Levels], source: SourceText
) -> dict[str, str]:
    """Return factor -> level of the baseline; the first level where the study names none."""
    chosen = {name: next(iter(levels)) for name, levels in factors.items()}
    chosen.update(check_levels(document.baseline, ("baseline",), factors, source))
    return chosen


def check_levels(
    given: Mapping[str, Any], where: FieldPath, factors: Mapping[str, Levels], source: SourceText
) -> dict[str, str]:
    """Return factor -> name of the level that is given for it.

    Raises:
        StudyError: For a factor or level that the study has not.
    """
    found = {}
    for factor, value in given.items():
        if factor not in factors:
            raise source.error(
                (*where, factor),
                f"no factor {factor!r}; this study has: {', '.join(factors) or 'none'}."
                f"{did_you_mean(factor, factors)}",
            )
        level = level_name(value)
        if level not in factors[factor]:
            raise source.error(
                (*where, factor),
                f"no level {level!r}; {factor} has: {', '.join(factors[factor])}."
                f"{did_you_mean(level, factors[factor])}",
            )
        found[factor] = level
    return found
