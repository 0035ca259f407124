"""Factors and levels to variants: every combination as one fully resolved recipe.

Owns the designs (cross product, one at a time), linked levels, seeds and replicates. The rule: a
variant is resolved in full before anything runs, so a mistake in any level is found at once.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness.errors import did_you_mean
from harness.study.document import StudyDocument
from harness.study.profiles import set_path
from harness.study.recipe import Recipe
from harness.study.source_text import FieldPath, SourceText, dotted
from harness.study.validation import allowed_fields, describe

_RECIPE = TypeAdapter(Recipe)
_SECTIONS = tuple(field.name for field in dataclasses.fields(Recipe) if field.name != "seed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One row of a table: one combination of levels, with the recipe of each of its seeds."""

    label: str
    levels: Mapping[str, str]
    """Factor -> level."""
    recipes: tuple[Recipe, ...]
    """One a seed; they differ in `seed` only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expansion:
    """A study's variants and how they came about."""

    variants: tuple[Variant, ...]
    baseline: str
    """Label of the variant that others are compared with."""
    factors: Mapping[str, tuple[str, ...]]
    """Factor -> its levels, in the file's order."""
    recipe: Mapping[str, Any]
    """The baseline's recipe as plain values, defaults left out: where a search starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Override:
    """One field that a level sets, and where the file says so."""

    target: FieldPath
    value: Any
    where: FieldPath


_Levels = dict[str, list[_Override]]


def read_factors(document: StudyDocument, source: SourceText) -> dict[str, _Levels]:
    """Return factor -> level -> overrides.

    Raises:
        StudyError: For an empty factor, a duplicate level, or a field that no recipe has.
    """
    return {name: _read_factor(name, levels, source) for name, levels in document.factors.items()}


def _read_factor(name: str, levels: Any, source: SourceText) -> _Levels:
    where: FieldPath = ("factors", name)
    if not isinstance(levels, (list, dict)):
        raise source.error(where, f"a factor is a list of values or a mapping of levels, not {levels!r}")
    if not levels:
        raise source.error(
            where, "this factor has no levels", cure="give at least two, or remove the factor"
        )
    found: _Levels = {}
    if isinstance(levels, list):
        target = tuple(name.split("."))
        _check_target(target, where, source)
        for index, value in enumerate(levels):
            level = level_name(value)
            if level in found:
                raise source.error((*where, index), f"level {level!r} stands twice")
            found[level] = [_Override(target=target, value=value, where=(*where, index))]
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
            found[level].append(_Override(target=target, value=value, where=(*where, level, path)))
    return found


def level_name(value: Any) -> str:
    """Return the name of a level that is given as a bare value."""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _check_target(target: FieldPath, where: FieldPath, source: SourceText) -> None:
    if target == ("seed",):
        raise source.error(where, "a seed is no factor", cure="list the study's seeds under `seeds`")
    allowed = allowed_fields(Recipe, target[:-1])
    if target[-1] not in allowed:
        known = ", ".join(allowed) if allowed else "no fields"
        raise source.error(
            where,
            f"no recipe has a field {dotted(target)!r}; "
            f"{dotted(target[:-1]) or 'a recipe'} has: {known}.{did_you_mean(str(target[-1]), allowed)}",
        )


def resolve_baseline(
    document: StudyDocument, factors: Mapping[str, _Levels], source: SourceText
) -> dict[str, str]:
    """Return factor -> level of the baseline; the first level where the study names none."""
    chosen = {name: next(iter(levels)) for name, levels in factors.items()}
    chosen.update(check_levels(document.baseline, ("baseline",), factors, source))
    return chosen


def check_levels(
    given: Mapping[str, Any], where: FieldPath, factors: Mapping[str, _Levels], source: SourceText
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


def expand(document: StudyDocument, source: SourceText) -> Expansion:
    """Return all variants in the study's order.

    Raises:
        StudyError: For a factor, level or field that does not hold, or two levels that are the same.
    """
    factors = read_factors(document, source)
    baseline = resolve_baseline(document, factors, source)
    replicates = [
        (check_levels(extra.where, ("replicates", i, "where"), factors, source), extra.seeds)
        for i, extra in enumerate(document.replicates)
    ]
    resolver = _Resolver(document.recipe, factors, source)
    variants = []
    seen: dict[tuple[int, ...], str] = {}
    for levels in _combinations(document.design, factors, baseline):
        sections = resolver.resolve(levels)
        label = _label(levels)
        # Equal sections are one object.
        known = seen.setdefault(tuple(map(id, sections.values())), label)
        if known != label:
            raise source.error(
                ("factors",),
                f"{label!r} and {known!r} are the same recipe",
                cure="two levels set the same values; remove one of them",
            )
        seeds = list(document.seeds)
        for matching, extra in replicates:
            if all(levels[factor] == level for factor, level in matching.items()):
                seeds.extend(extra)
        recipes = tuple(Recipe(**sections, seed=seed) for seed in dict.fromkeys(seeds))
        variants.append(Variant(label=label, levels=levels, recipes=recipes))
    return Expansion(
        variants=tuple(variants),
        baseline=_label(baseline),
        factors={name: tuple(levels) for name, levels in factors.items()},
        recipe=_overridden(document.recipe, baseline, factors)[0],
    )


def _label(levels: Mapping[str, str]) -> str:
    return ", ".join(f"{factor}={level}" for factor, level in levels.items()) or "recipe"


def _combinations(
    design: str, factors: Mapping[str, _Levels], baseline: dict[str, str]
) -> Iterator[dict[str, str]]:
    if design == "cross":
        for combination in itertools.product(*factors.values()):
            yield dict(zip(factors, combination, strict=True))
        return
    yield dict(baseline)
    for factor, levels in factors.items():
        for level in levels:
            if level != baseline[factor]:
                yield {**baseline, factor: level}


class _Resolver:
    """Recipes of combinations of levels, section by section.

    A section (`model`, `contrastive` ...) depends on the levels that touch it alone, and no rule spans
    two of them. So each is checked once for each of its values, as part of a whole recipe, and variants
    share it from then on.
    """

    def __init__(
        self, recipe: dict[str, Any], factors: Mapping[str, _Levels], source: SourceText
    ) -> None:
        self._recipe, self._factors, self._source = recipe, factors, source
        self._known: dict[tuple[str, tuple[str, ...]], Any] = {}
        self._values: dict[tuple[str, Any], Any] = {}
        touching: dict[str, tuple[str, ...]] = {
            section: tuple(
                factor
                for factor, levels in factors.items()
                if any(one.target[0] == section for level in levels.values() for one in level)
            )
            for section in _SECTIONS
        }
        self._touching = {section: touched for section, touched in touching.items() if touched}
        self._fixed: dict[str, Any] = {}

    def resolve(self, levels: Mapping[str, str]) -> dict[str, Any]:
        """Return a recipe's sections by name; equal ones are one object, whatever the levels."""
        keys = [
            (section, tuple([levels[factor] for factor in touching]))
            for section, touching in self._touching.items()
        ]
        known = self._known
        if not self._fixed or any(key not in known for key in keys):
            recipe = _resolve(self._recipe, levels, self._factors, self._source)
            # The first of all resolved recipes gives what no factor touches.
            self._fixed = self._fixed or {section: getattr(recipe, section) for section in _SECTIONS}
            for key in keys:
                value = getattr(recipe, key[0])
                known[key] = self._values.setdefault((key[0], value), value)
        return {**self._fixed, **{key[0]: known[key] for key in keys}}


def _resolve(
    recipe: dict[str, Any], levels: Mapping[str, str], factors: Mapping[str, _Levels], source: SourceText
) -> Recipe:
    data, set_by = _overridden(recipe, levels, factors)
    try:
        return _RECIPE.validate_python(data)
    except ValidationError as error:
        fields = [item["loc"] for item in error.errors(include_url=False)]
        marked = _marks_of_overrides(source, set_by, fields)
        raise describe(error, Recipe, data, marked, below=("recipe",)) from None


def _overridden(
    recipe: dict[str, Any], levels: Mapping[str, str], factors: Mapping[str, _Levels]
) -> tuple[dict[str, Any], dict[FieldPath, FieldPath]]:
    """Return the recipe's values at some levels, and where the file sets each that a level sets."""
    data = copy.deepcopy(recipe)
    set_by: dict[FieldPath, FieldPath] = {}
    for factor, level in levels.items():
        for override in factors[factor][level]:
            set_path(data, override.target, copy.deepcopy(override.value))
            set_by[override.target] = override.where
    return data, set_by


def _marks_of_overrides(
    source: SourceText, set_by: Mapping[FieldPath, FieldPath], fields: list[Any]
) -> SourceText:
    """Let faults in overridden fields point to the level that set them."""
    lines = dict(source.lines)
    for target, where in set_by.items():
        for field in fields:
            if tuple(field[: len(target)]) == target:
                lines["recipe", *field] = source.line_of(where)
    return replace(source, lines=lines)
