"""Factors and levels to variants: every combination as one fully resolved recipe.

Owns the designs (cross product, one at a time), linked levels, seeds and replicates. The rules: a
variant is resolved in full before anything runs, so a mistake in any level is found at once; and no
field is set twice in one row.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

import msgspec
from pydantic import TypeAdapter, ValidationError

from harness.study.document import StudyDocument
from harness.study.factors import Levels, Override, check_levels, read_factors, resolve_baseline
from harness.study.profiles import set_path
from harness.study.recipe import Recipe
from harness.study.source_text import FieldPath, SourceText, dotted
from harness.study.validation import describe

_RECIPE = TypeAdapter(Recipe)
_MOST_VARIANTS = 200_000
_SECTIONS = tuple(field.name for field in dataclasses.fields(Recipe) if field.name != "seed")


class Variant(msgspec.Struct, frozen=True, kw_only=True, gc=False):
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
    _check_size(document, factors, source)
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
        seeds = dict.fromkeys(document.seeds)
        for matching, extra in replicates:
            if matching.items() <= levels.items():
                seeds.update(dict.fromkeys(extra))
        recipes = tuple([Recipe(**sections, seed=seed) for seed in seeds])
        variants.append(Variant(label=label, levels=levels, recipes=recipes))
    return Expansion(
        variants=tuple(variants),
        baseline=_label(baseline),
        factors={name: tuple(levels) for name, levels in factors.items()},
        recipe=_overridden(document.recipe, baseline, factors, source)[0],
    )


def _check_size(document: StudyDocument, factors: Mapping[str, Levels], source: SourceText) -> None:
    if document.design != "cross":
        return
    count = math.prod(map(len, factors.values()))
    if count > _MOST_VARIANTS:
        sizes = ", ".join(f"{name}: {len(levels)}" for name, levels in factors.items())
        raise source.error(
            ("factors",),
            f"{count:,} combinations of levels ({sizes}) are more than the {_MOST_VARIANTS:,} that a "
            "study may have",
            cure="`design: one-at-a-time` varies one factor at a time; a `search` section looks for the "
            "best combination",
        )


def _label(levels: Mapping[str, str]) -> str:
    return ", ".join(map("=".join, levels.items())) or "recipe"


def _combinations(
    design: str, factors: Mapping[str, Levels], baseline: dict[str, str]
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
        self, recipe: dict[str, Any], factors: Mapping[str, Levels], source: SourceText
    ) -> None:
        self._recipe, self._factors, self._source = recipe, factors, source
        touching = {
            section: [
                factor
                for factor, levels in factors.items()
                if any(one.target[0] == section for level in levels.values() for one in level)
            ]
            for section in _SECTIONS
        }
        self._touching = {
            section: itemgetter(*touched) for section, touched in touching.items() if touched
        }
        self._known: dict[str, dict[Any, Any]] = {section: {} for section in self._touching}
        self._values: dict[tuple[str, Any], Any] = {}
        self._fixed: dict[str, Any] = {}

    def resolve(self, levels: Mapping[str, str]) -> dict[str, Any]:
        """Return a recipe's sections by name; equal ones are one object, whatever the levels."""
        known = self._known
        with suppress(KeyError):
            touched = {name: known[name][read(levels)] for name, read in self._touching.items()}
            if self._fixed:
                return {**self._fixed, **touched}
        recipe = _resolve(self._recipe, levels, self._factors, self._source)
        # The first of all resolved recipes gives what no factor touches.
        self._fixed = self._fixed or {section: getattr(recipe, section) for section in _SECTIONS}
        for section, read in self._touching.items():
            value = getattr(recipe, section)
            known[section][read(levels)] = self._values.setdefault((section, value), value)
        return self.resolve(levels)


def _resolve(
    recipe: dict[str, Any], levels: Mapping[str, str], factors: Mapping[str, Levels], source: SourceText
) -> Recipe:
    data, set_by = _overridden(recipe, levels, factors, source)
    try:
        return _RECIPE.validate_python(data)
    except ValidationError as error:
        fields = [item["loc"] for item in error.errors(include_url=False)]
        marked = _marks_of_overrides(source, set_by, fields)
        raise describe(error, Recipe, data, marked, below=("recipe",)) from None


def _overridden(
    recipe: dict[str, Any],
    levels: Mapping[str, str],
    factors: Mapping[str, Levels],
    source: SourceText,
) -> tuple[dict[str, Any], dict[FieldPath, FieldPath]]:
    """Return the recipe's values at some levels, and where the file sets each that a level sets."""
    data = copy.deepcopy(recipe)
    set_by: dict[FieldPath, Override] = {}
    for factor, level in levels.items():
        for override in factors[factor][level]:
            _check_apart(override, set_by, source)
            set_path(data, override.target, copy.deepcopy(override.value))
            set_by[override.target] = override
    return data, {target: override.where for target, override in set_by.items()}


def _check_apart(one: Override, set_by: Mapping[FieldPath, Override], source: SourceText) -> None:
    """Refuse a field that is set twice in one row: the later would win, and nothing would say so."""
    for target, other in set_by.items():
        shared = min(len(target), len(one.target))
        if target[:shared] != one.target[:shared] or other == replace(one, where=other.where):
            continue
        raise source.error(
            one.where,
            f"sets {dotted(one.target)}, which {dotted(other.where)} on line"
            f" {source.line_of(other.where)} sets too, in one and the same row",
            cure="let one factor set a field; levels of two that go together are one factor's",
        )


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
