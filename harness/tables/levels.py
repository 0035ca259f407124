"""Differences that vary on two levels: training seeds, and queries inside a task.

Owns the estimate of a difference with its error when both levels were drawn. The rule: seeds are never
pooled with queries. A hundred queries of two seeds are two draws of a model and a hundred of a query,
not two hundred of anything; the error of the mean adds up a part for each level. Where only one level
has more than one draw, the estimate speaks for that level alone and says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from harness.records.power import SIGNIFICANT, smallest_detectable
from harness.tables.resampling import LEVEL, bootstrap_intervals, randomisation_tests

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

Level = Literal["seeds and queries", "queries", "seeds", "tasks"]
"""What was drawn: over what the statement holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """A difference with what chance can do to it, before scaling."""

    value: float
    low: float
    """Lower end of the 95 % interval."""
    high: float
    p_value: float
    """Two-sided, of no difference; not corrected for other comparisons."""
    level: Level
    num_seeds: int = 0
    """Differences by seed behind it; 0 where seeds are no level of it."""
    num_units: int = 0
    """Queries or tasks behind it; 0 where neither are a level of it."""
    detectable: float | None = None
    """The smallest true difference that would be found four times in five."""
    adjusted: float | None = None
    """The p-value after Holm's correction over its family; None where it belongs to none."""

    @property
    def is_significant(self) -> bool:
        """Return whether p is below 0.05, corrected where there is a family."""
        return (self.p_value if self.adjusted is None else self.adjusted) < SIGNIFICANT


def over_queries(differences: FloatArray, *, level: Level = "queries") -> list[Inference]:
    """Return for each row of [k, n] what its n queries (or tasks) say: models at hand, queries drawn.

    p by randomisation, the interval by bootstrap.
    """
    import numpy as np

    p_values = randomisation_tests(differences)
    intervals = bootstrap_intervals(differences)
    num = differences.shape[1]
    means = differences.mean(axis=1)
    errors = differences.std(axis=1, ddof=1) / math.sqrt(num) if num > 1 else np.full(len(means), np.nan)
    return [
        Inference(
            value=float(mean),
            low=float(interval[0]),
            high=float(interval[1]),
            p_value=float(p_value),
            level=level,
            num_units=num,
            detectable=smallest_detectable(float(error), degrees=num - 1),
        )
        for mean, interval, p_value, error in zip(means, intervals, p_values, errors, strict=True)
    ]


def over_seeds(differences: FloatArray) -> Inference | None:
    """Return what [s] differences by seed say: Student's paired t; None for fewer than two."""
    num = len(differences)
    if num < 2:
        return None
    error = float(differences.std(ddof=1)) / math.sqrt(num)
    return _student(float(differences.mean()), error, degrees=num - 1, level="seeds", num_seeds=num)


def over_both(differences: FloatArray) -> Inference | None:
    """Return what [s, n] differences say of other seeds and queries; None for fewer than two of one.

    Seeds and queries are crossed random factors without replication: with mean squares A for seeds, B
    for units and R for the rest, the variance of the mean is (A + B - R) / (s n), with Satterthwaite's
    degrees of freedom (Cornfield and Tukey, Annals of Mathematical Statistics 27, 1956; Searle,
    Casella and McCulloch, Variance Components, 1992, chapter 4). It is never taken below what one
    level alone gives, where a negative component would shrink it.
    """
    num_seeds, num_units = differences.shape
    if num_seeds < 2 or num_units < 2:
        return None
    mean = float(differences.mean())
    by_seed = differences.mean(axis=1)
    by_unit = differences.mean(axis=0)
    rest = differences - by_seed[:, None] - by_unit[None, :] + mean
    seeds = num_units * float(((by_seed - mean) ** 2).sum()) / (num_seeds - 1)
    units = num_seeds * float(((by_unit - mean) ** 2).sum()) / (num_units - 1)
    left = float((rest**2).sum()) / ((num_seeds - 1) * (num_units - 1))
    total = seeds + units - left
    parts: tuple[tuple[float, int], ...] = (
        (seeds**2, num_seeds - 1),
        (units**2, num_units - 1),
        (left**2, (num_seeds - 1) * (num_units - 1)),
    )
    if total <= max(seeds, units):
        total = max(seeds, units)
        parts = parts[:1] if seeds >= units else parts[1:2]
    spread = math.fsum(square / degrees for square, degrees in parts)
    degrees = max(1.0, total**2 / spread) if spread > 0 else float(num_seeds - 1)
    error = math.sqrt(total / (num_seeds * num_units))
    return _student(
        mean,
        error,
        degrees=degrees,
        level="seeds and queries",
        num_seeds=num_seeds,
        num_units=num_units,
    )


@cache
def _quantile(degrees: float) -> float:
    """Return Student's quantile for the ends of an interval."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + LEVEL) / 2))


def _student(
    mean: float,
    error: float,
    *,
    degrees: float,
    level: Level,
    num_seeds: int,
    num_units: int = 0,
) -> Inference:
    from scipy.special import stdtr

    # Differences that never vary are all the same, or all none.
    p_value = 1.0 if mean == 0 else 0.0
    if error > 0:
        p_value = 2 * float(stdtr(degrees, -abs(mean) / error))
    half = _quantile(degrees) * error
    return Inference(
        value=mean,
        low=mean - half,
        high=mean + half,
        p_value=p_value,
        level=level,
        num_seeds=num_seeds,
        num_units=num_units,
        detectable=smallest_detectable(error, degrees=degrees),
    )
