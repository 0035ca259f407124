"""The `search` section of a study file, as types.

Owns what a search may say: the space, the objectives, the sampler, the pruner and when it is over. The
rule: the space and the objectives decide what is asked, and every bound of the space must give a recipe
that holds. Checks that need the rest of the study are left to `space`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from harness.study.recipe import STRICT, Count, PositiveFloat, PositiveInt

Condition = dict[str, str | int | float | bool | list[str | int | float | bool]]
Number = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatRange:
    """Numbers between two bounds, both included."""

    __pydantic_config__ = STRICT

    kind: Literal["float"]
    low: Number
    high: Number
    log: bool = False
    """Draw the logarithm evenly; needs bounds above 0."""
    step: PositiveFloat | None = None
    """Distance of the values that may be taken; any value between the bounds when empty."""
    when: Condition = field(default_factory=dict)
    """Parameter -> value or values; this one is set only where earlier ones have these."""

    def __post_init__(self) -> None:
        """Refuse an empty range, and what has no logarithm."""
        _check_range(self.low, self.high, is_log=self.log, step=self.step)


@dataclass(frozen=True, slots=True, kw_only=True)
class IntRange:
    """Whole numbers between two bounds, both included."""

    __pydantic_config__ = STRICT

    kind: Literal["int"]
    low: int
    high: int
    log: bool = False
    """Draw the logarithm evenly; needs bounds above 0."""
    step: PositiveInt = 1
    when: Condition = field(default_factory=dict)
    """Parameter -> value or values; this one is set only where earlier ones have these."""

    def __post_init__(self) -> None:
        """Refuse an empty range, and what has no logarithm."""
        _check_range(self.low, self.high, is_log=self.log, step=None if self.step == 1 else self.step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """One of several values without an order; or named levels, each a set of overrides."""

    __pydantic_config__ = STRICT

    kind: Literal["categorical"]
    choices: Annotated[list[str | int | float | bool] | dict[str, dict[str, Any]], Field(min_length=1)]
    """Values of the field, or level -> its overrides (dotted path -> value), as in `factors`."""
    when: Condition = field(default_factory=dict)
    """Parameter -> value or values; this one is set only where earlier ones have these."""

    @property
    def levels(self) -> tuple[str | int | float | bool, ...]:
        """The values, or the names of the levels."""
        return tuple(self.choices)


Parameter = Annotated[FloatRange | IntRange | Choices, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What a search makes large or small: an expression over suites, tasks and measures."""

    __pydantic_config__ = STRICT

    maximize: str | None = None
    """Such as `dev`, `dev.SciFact` or `mean(dev.SciFact, 'dev/bbc-headlines') - 1e-9 * parameters`."""
    minimize: str | None = None
    """`parameters` (trained numbers), `seconds` (of training) and `gpu_hours` are measures of cost."""

    def __post_init__(self) -> None:
        """Refuse an objective with no direction, or with two."""
        if (self.maximize is None) == (self.minimize is None):
            raise ValueError("an objective has exactly one of `maximize` and `minimize`")

    @property
    def expression(self) -> str:
        """Its text."""
        return self.maximize if self.maximize is not None else str(self.minimize)

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """Whether more is better."""
        return "minimize" if self.maximize is None else "maximize"


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerSettings:
    """Who chooses the next trial."""

    __pydantic_config__ = STRICT

    kind: Literal["tpe", "gp", "cmaes", "random", "grid"] = "tpe"
    """Optuna's; `grid` goes through every combination, in an order that the seed decides."""
    seed: Count = 0
    """Another one is another search, which shares nothing with the first but finished cells."""
    startup_trials: Count = 10
    """Random trials before the sampler's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunerSettings:
    """Who ends trials that do badly."""

    __pydantic_config__ = STRICT

    kind: Literal["none", "median", "hyperband", "wilcoxon"] = "none"
    """`median` and `hyperband` look at `rungs`; `wilcoxon` compares task by task with the best trial."""
    rungs: tuple[PositiveInt, ...] = ()
    """Optimiser steps of the contrastive stage after which a trial is scored and may be ended."""
    startup_trials: Count = 5
    """Trials that `median` lets run to their end before it ends any."""
    reduction_factor: Annotated[int, Field(ge=2)] = 3
    """Of so many trials, `hyperband` takes one to the next rung."""
    p_threshold: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Chance of the signed-rank test under which `wilcoxon` ends a trial."""

    def __post_init__(self) -> None:
        """Refuse rungs where nobody looks at them, and the other way round."""
        if (self.kind in {"median", "hyperband"}) != bool(self.rungs):
            raise ValueError(
                "`median` and `hyperband` need `rungs`, and nothing else takes any;"
                f" this is {self.kind!r} with rungs {list(self.rungs)}"
            )
        if list(self.rungs) != sorted(set(self.rungs)):
            raise ValueError(f"rungs must rise: {list(self.rungs)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """How the best values of some settings are looked for."""

    __pydantic_config__ = STRICT

    space: Annotated[dict[str, Parameter], Field(min_length=1)]
    """Field path -> its range; a path that several fields hang on is a name with levels."""
    objectives: Annotated[tuple[Objective, ...], Field(min_length=1)]
    """One, or several that are traded against each other; over development suites alone."""
    trials: PositiveInt
    """How many trials shall be finished in total, pruned ones and those of earlier calls included."""
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    pruner: PrunerSettings = field(default_factory=PrunerSettings)
    batch: PositiveInt | None = None
    """Ask for so many trials at once and tell their results together: repeatable, and slower where they
    differ in length. Trials are asked for as soon as one ends when empty."""
    gpu_hours: PositiveFloat | None = None
    """No trial is begun once the search's own steps have taken so many: seconds times their GPUs."""
    replace_failed: Count = 10
    """So many failed trials are replaced by others; failures beyond that count as trials."""
    noise_seeds: tuple[Count, ...] = ()
    """Seeds with which the best trial is repeated at the end, to tell how large chance is."""
    storage: str | None = None
    """URL of a PostgreSQL or MySQL database, for drivers on many machines; a file in the store if empty.
    A password comes from the environment: PGPASSWORD, or HARNESS_SEARCH_STORAGE for the whole URL."""


def _check_range(low: float, high: float, *, is_log: bool, step: float | None) -> None:
    if low > high:
        raise ValueError(f"low {low} is above high {high}")
    if is_log and low <= 0:
        raise ValueError(f"a logarithmic range needs low above 0, not {low}")
    if is_log and step is not None:
        raise ValueError("a logarithmic range has no step")
