"""Differences that vary on two levels: training seeds, and queries inside a task.

Owns the estimate of a difference with its error when both levels were drawn. The rule: seeds are never
pooled with queries. A hundred queries of two seeds are two draws of a model and a hundred of a query,
not two hundred of anything; the error of the mean adds up a part for each level. Where only one level
has more than one draw, the estimate speaks for that level alone and says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Literal

import msgspec

from harness.records.power import SIGNIFICANT, smallest_detectable
from harness.tables.resampling import LEVEL, SMALLEST_P, bootstrap_intervals, randomisation_tests

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

Level = Literal["seeds and queries", "queries", "seeds", "tasks"]
"""What was drawn: over what the statement holds."""


class Inference(msgspec.Struct, frozen=True, kw_only=True, gc=False):
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

    def corrected(self, adjusted: float) -> Inference:
        """Return the same with a p-value corrected over its family."""
        return Inference(
            value=self.value,
            low=self.low,
            high=self.high,
            p_value=self.p_value,
            level=self.level,
            num_seeds=self.num_seeds,
            num_units=self.num_units,
            detectable=self.detectable,
            adjusted=adjusted,
        )

    @property
    def is_significant(self) -> bool:
        """Return whether p is below 0.05, corrected where there is a family."""
        return (self.p_value if self.adjusted is None else self.adjusted) < SIGNIFICANT


def over_queries(
    differences: FloatArray, *, level: Level = "queries", family: int = 1
) -> list[Inference]:
    """Return for each row of [k, n] what its n queries (or tasks) say: models at hand, queries drawn.

    p by randomisation, the interval by bootstrap. Draws cannot tell how small p is where none of them
    reaches what was observed; in a family so large that this would forbid any claim, p is then
    Student's, which agrees with randomisation on such data (Smucker, Allan and Carterette, CIKM 2007).

    Args:
        differences: [k, n].
        level: What the n are draws of.
        family: Comparisons over which p will be corrected.
    """
    import numpy as np

    p_values = randomisation_tests(differences)
    intervals = bootstrap_intervals(differences)
    num = differences.shape[1]
    means = differences.mean(axis=1)
    errors = differences.std(axis=1, ddof=1) / math.sqrt(num) if num > 1 else np.full(len(means), np.nan)
    if is_beyond_draws(family):
        beyond = (p_values <= SMALLEST_P) & (errors > 0)
        p_values[beyond] = np.minimum(
            p_values[beyond], _two_sided(means[beyond], errors[beyond], degrees=num - 1)
        )
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


def is_beyond_draws(family: int) -> bool:
    """Return whether no p from draws can survive the correction over so many comparisons."""
    return family * SMALLEST_P > SIGNIFICANT


def over_seeds(differences: FloatArray) -> Inference | None:
    """Return what [s] differences by seed say: Student's paired t; None for fewer than two."""
    return each_over_seeds(differences[None])[0] if len(differences) > 1 else None


def each_over_seeds(differences: FloatArray) -> list[Inference]:
    """Return for each row of [k, s], s at least 2, what its differences by seed say."""
    num = differences.shape[1]
    errors = differences.std(axis=1, ddof=1) / math.sqrt(num)
    return _students(
        differences.mean(axis=1), errors, degrees=[num - 1] * len(errors), level="seeds", num_seeds=num
    )


def over_both(differences: FloatArray) -> Inference | None:
    """Return what [s, n] differences say of other seeds and queries; None for fewer than two of one."""
    return each_over_both(differences[None])[0] if min(differences.shape) > 1 else None


def each_over_both(differences: FloatArray) -> list[Inference]:
    """Return for each of [k, s, n], s and n at least 2, what it says of other seeds and queries.

    Seeds and queries are crossed random factors without replication: with mean squares A for seeds, B
    for units and R for the rest, the variance of the mean is (A + B - R) / (s n), with Satterthwaite's
    degrees of freedom (Cornfield and Tukey, Annals of Mathematical Statistics 27, 1956; Searle,
    Casella and McCulloch, Variance Components, 1992, chapter 4). It is never taken below what one
    level alone gives, where a negative component would shrink it.
    """
    import numpy as np

    _, num_seeds, num_units = differences.shape
    means = differences.mean(axis=(1, 2))
    by_seed = differences.mean(axis=2)
    by_unit = differences.mean(axis=1)
    rest = differences - by_seed[:, :, None] - by_unit[:, None, :] + means[:, None, None]
    seeds = num_units * ((by_seed - means[:, None]) ** 2).sum(axis=1) / (num_seeds - 1)
    units = num_seeds * ((by_unit - means[:, None]) ** 2).sum(axis=1) / (num_units - 1)
    left = (rest**2).sum(axis=(1, 2)) / ((num_seeds - 1) * (num_units - 1))
    found = [
        _crossed(*squares, num_seeds=num_seeds, num_units=num_units)
        for squares in zip(seeds.tolist(), units.tolist(), left.tolist(), strict=True)
    ]
    return _students(
        means,
        np.array([error for error, _ in found]),
        degrees=[degrees for _, degrees in found],
        level="seeds and queries",
        num_seeds=num_seeds,
        num_units=num_units,
    )


def _crossed(
    seeds: float, units: float, left: float, *, num_seeds: int, num_units: int
) -> tuple[float, float]:
    """Return the standard error and its degrees of freedom from the three mean squares."""
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
    return math.sqrt(total / (num_seeds * num_units)), degrees


@cache
def _quantile(degrees: float) -> float:
    """Return Student's quantile for the ends of an interval."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + LEVEL) / 2))


def _students(
    means: FloatArray,
    errors: FloatArray,
    *,
    degrees: Sequence[float],
    level: Level,
    num_seeds: int,
    num_units: int = 0,
) -> list[Inference]:
    """Return the inference of each mean with its standard error and degrees of freedom."""
    import numpy as np

    known = errors > 0
    # Differences that never vary are all the same, or all none.
    p_values = np.where(means == 0, 1.0, 0.0)
    p_values[known] = _two_sided(means[known], errors[known], degrees=np.array(degrees)[known])
    return [
        Inference(
            value=mean,
            low=mean - half,
            high=mean + half,
            p_value=p_value,
            level=level,
            num_seeds=num_seeds,
            num_units=num_units,
            detectable=smallest_detectable(error, degrees=freedom),
        )
        for mean, error, freedom, p_value in zip(
            means.tolist(), errors.tolist(), degrees, p_values.tolist(), strict=True
        )
        for half in (_quantile(freedom) * error,)
    ]


def _two_sided(means: FloatArray, errors: FloatArray, *, degrees: float | FloatArray) -> FloatArray:
    """Return Student's p of each mean with its standard error."""
    import numpy as np
    from scipy.special import stdtr

    found: FloatArray = 2 * stdtr(degrees, -np.abs(means) / errors)
    return found
