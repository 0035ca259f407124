"""Differences over a set of tasks.

Owns the tests that take tasks as draws: is one row better than the other on tasks like these? The rule:
each task counts once, whatever its number of queries, and a difference in a task is the mean over its
seeds. What happens inside of a task is left to `levels`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.tables.resampling import bootstrap_intervals, randomisation_tests

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

MIN_TASKS = 6
"""Below, no two-sided test of signs can reach 0.05: 2 / 2^5 is 0.0625."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSummary:
    """What the differences by task say together."""

    num_tasks: int
    mean: float
    wins: int
    """Tasks on which the first side is better as shown, with two decimals."""
    ties: int
    losses: int
    low: float | None = None
    """Ends of the 95 % bootstrap interval over tasks; None for fewer than two tasks."""
    high: float | None = None
    randomisation: float | None = None
    """p-value of the randomisation test over tasks."""
    wilcoxon: float | None = None
    """p-value of Wilcoxon's signed-rank test; None where all differences are none."""


def summarise_tasks(differences: Sequence[float], *, tie: float = 0.00005) -> TaskSummary:
    """Return counts, tests and interval of the differences by task.

    Args:
        differences: First side minus second, by task, positive where the first is better.
        tie: Differences of at most this size are ties.
    """
    import numpy as np

    values = np.asarray(differences, dtype=np.float64)
    counts = {
        "num_tasks": len(values),
        "wins": int((values > tie).sum()),
        "ties": int((np.abs(values) <= tie).sum()),
        "losses": int((values < -tie).sum()),
    }
    mean = float(values.mean()) if len(values) else 0.0
    if len(values) < 2:
        return TaskSummary(mean=mean, **counts)
    low, high = bootstrap_intervals(values)
    return TaskSummary(
        mean=mean,
        low=float(low),
        high=float(high),
        randomisation=float(randomisation_tests(values)),
        wilcoxon=_wilcoxon(values),
        **counts,
    )


def _wilcoxon(values: FloatArray) -> float | None:
    """Return the p-value of the signed-rank test: the randomisation test of the signed ranks.

    Differences of zero are left out and ties share their mean rank (Wilcoxon, Biometrics Bulletin 1,
    1945).
    """
    import numpy as np

    present = values[values != 0]
    if not len(present):
        return None
    _, inverse, counts = np.unique(np.abs(present), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float(randomisation_tests(np.sign(present) * ranks))
