"""What a study commits itself to: which rows it compares, and what it may cost.

Owns the fields `comparisons`, `allow` and `budget`, and their checking against factors and recipe. The
rule: nothing here is part of a result's identity. Whether pairs are alike and a forecast is within the
budget is left to `harness.plan`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from harness.errors import did_you_mean
from harness.study.recipe import STRICT, PositiveFloat, Recipe
from harness.study.source_text import FieldPath, SourceText
from harness.study.validation import allowed_fields

if TYPE_CHECKING:
    from harness.study.document import StudyDocument

Level = str | int | float | bool

VERSIONS = "versions"
DEVICES = "devices"
OBSERVED = (VERSIONS, DEVICES)
"""What finished steps record of their making, beside the fields of a recipe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Pairs of rows that are compared: alike in all but one factor."""

    __pydantic_config__ = STRICT

    factor: str
    levels: tuple[Level, Level] | None = None
    """The two levels; each level with the baseline's when empty."""
    where: dict[str, Level] = field(default_factory=dict)
    """Factor -> level: only the pairs at these levels of other factors."""
    allow: tuple[str, ...] = ()
    """As the study's `allow`, for these pairs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a study may cost beyond what is done already; `harness run` refuses to start above it."""

    __pydantic_config__ = STRICT

    gpu_hours: PositiveFloat | None = None
    money: PositiveFloat | None = None
    """In the currency of `resources.price_per_gpu_hour`."""
    wall_hours: PositiveFloat | None = None
    """On `resources.devices`."""
    disk_gib: PositiveFloat | None = None


def resolve_comparisons(document: StudyDocument, source: SourceText) -> tuple[Comparison, ...]:
    """Return the declared comparisons, or along every factor, with levels by name.

    Raises:
        StudyError: For a factor, level or field that is not there.
    """
    from harness.study.factors import check_levels, read_factors

    factors = read_factors(document, source)
    _check_allowed(document.allow, ("allow",), source)
    found = []
    for index, one in enumerate(document.comparisons):
        where: FieldPath = ("comparisons", index)
        if one.factor not in factors:
            raise source.error(
                (*where, "factor"),
                f"no factor {one.factor!r}; this study has: {', '.join(factors) or 'none'}."
                f"{did_you_mean(one.factor, factors)}",
            )
        if one.factor in one.where:
            raise source.error((*where, "where"), f"{one.factor} is what the pairs differ in")
        names = [
            check_levels({one.factor: level}, (*where, "levels"), factors, source)[one.factor]
            for level in one.levels or ()
        ]
        if len(names) == 2 and names[0] == names[1]:
            raise source.error((*where, "levels"), f"{names[0]!r} stands twice")
        _check_allowed(one.allow, (*where, "allow"), source)
        found.append(
            replace(
                one,
                levels=(names[0], names[1]) if names else None,
                where={**check_levels(one.where, (*where, "where"), factors, source)},
                allow=(*document.allow, *one.allow),
            )
        )
    return tuple(found) or tuple(Comparison(factor=name, allow=document.allow) for name in factors)


def _check_allowed(fields: Iterable[str], where: FieldPath, source: SourceText) -> None:
    for index, name in enumerate(fields):
        path = tuple(name.split("."))
        known = allowed_fields(Recipe, path[:-1])
        if len(path) == 1:
            known = [*known, *OBSERVED]
        if path[-1] not in known:
            raise source.error(
                (*where, index),
                f"no recipe has a field {name!r}; there are: {', '.join(known) or 'none'}."
                f"{did_you_mean(path[-1], known)}",
            )
