"""Tests and intervals by drawing again: for paired differences of one model pair.

Owns the randomisation test and the bootstrap interval. The rule: both are functions of the differences
alone, drawn from a fixed seed, so that a table made twice has the same marks. They take the models as
they are: what another training seed would do is left to `levels`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int32]

ROUNDS = 10_000
"""Draws of a test or an interval."""
SMALLEST_P = 1 / (ROUNDS + 1)
"""Of a test by draws: what was observed counts as one of them."""
LEVEL = 0.95
"""Coverage of every interval."""
_EXACT = 13
"""Up to so many differences, all assignments of signs are gone through."""
_CHUNK = 2**22
"""Random numbers held at once."""
_BLOCK = 512
"""Rows whose sums are held at once."""
_FEW = 16
"""Up to so many rows, means are taken row by row; more share one product of matrices."""


def randomisation_tests(differences: FloatArray, *, rounds: int = ROUNDS, seed: int = 0) -> FloatArray:
    """Return two-sided p-values of the hypothesis that the two sides of every pair are exchangeable.

    Under it each difference has either sign with equal chance (Fisher, The Design of Experiments,
    1935, section 21; for search systems Smucker, Allan and Carterette, CIKM 2007). Few differences are
    tested exactly; else signs are drawn, and the observed assignment counts as one more draw (Phipson
    and Smyth, 2010), so that p is never zero.

    Args:
        differences: [n] or [k, n], k tests over the same n units, which share the drawn signs.
        rounds: Draws where n is large.
        seed: Of the draws.

    Returns:
        [] or [k].
    """
    import numpy as np

    rows = np.atleast_2d(np.asarray(differences, dtype=np.float64))
    num = rows.shape[1]
    observed = np.abs(rows.sum(axis=1))
    # Sums of the same numbers in another order may differ in the last digits.
    bar = observed - 1e-9 * np.abs(rows).sum(axis=1)
    if num <= _EXACT:
        codes = np.arange(2**num, dtype=np.int64)
        signs = 1.0 - 2.0 * ((codes[:, None] >> np.arange(num)) & 1)
        found: Any = (np.abs(signs @ rows.T) >= bar).mean(axis=0)
        return cast("FloatArray", found if np.ndim(differences) > 1 else found[0])
    generator = np.random.default_rng(seed)
    hits = np.zeros(len(rows))
    step = max(1, _CHUNK // num)
    for start in range(0, rounds, step):
        size = min(step, rounds - start)
        bits = np.unpackbits(np.frombuffer(generator.bytes((size * num + 7) // 8), dtype=np.uint8))
        signs = 1.0 - 2.0 * bits[: size * num].reshape(size, num)
        for block in range(0, len(rows), _BLOCK):
            part = slice(block, block + _BLOCK)
            hits[part] += (np.abs(signs @ rows[part].T) >= bar[part]).sum(axis=0)
    p_values: Any = (hits + 1) / (rounds + 1)
    return cast("FloatArray", p_values if np.ndim(differences) > 1 else p_values[0])


def bootstrap_intervals(
    differences: FloatArray, *, rounds: int = ROUNDS, level: float = LEVEL, seed: int = 0
) -> FloatArray:
    """Return percentile intervals of the mean difference (Efron and Tibshirani, 1993, chapter 13).

    Args:
        differences: [n] or [k, n]; all k rows see the same draws of units.
        rounds: Draws.
        level: Coverage, such as 0.95.
        seed: Of the draws.

    Returns:
        [2] or [k, 2]: low and high.
    """
    import numpy as np

    rows = np.atleast_2d(np.asarray(differences, dtype=np.float64))
    edges = [(1 - level) / 2, (1 + level) / 2]
    means_of = _drawn_means if len(rows) <= _FEW else _drawn_means_together
    blocks = [
        np.quantile(means_of(rows[start : start + _BLOCK], rounds, seed), edges, axis=0).T
        for start in range(0, len(rows), _BLOCK)
    ]
    intervals = np.concatenate(blocks)
    return cast("FloatArray", intervals if np.ndim(differences) > 1 else intervals[0])


def _drawn_means(rows: FloatArray, rounds: int, seed: int) -> FloatArray:
    """Return the mean of each row of [k, n] over each draw of units, [rounds, k]."""
    import numpy as np

    means = np.empty((rounds, len(rows)))
    for start, chosen in _draws(rows.shape[1], rounds, seed):
        for row, values in enumerate(rows):
            means[start : start + len(chosen), row] = values[chosen].mean(axis=1)
    return means


def _drawn_means_together(rows: FloatArray, rounds: int, seed: int) -> FloatArray:
    """Return the same for many rows: how often each unit was drawn, times its value.

    Values are rounded to whole multiples of a power of two that is small enough for all sums to be
    exact, about 1e-12 of the largest value; so the product is the same in whatever order a machine
    adds up.
    """
    import numpy as np

    num = rows.shape[1]
    _, exponents = np.frexp(np.abs(rows).max(axis=1))
    shift = 52 - math.ceil(math.log2(num)) - exponents
    whole = np.rint(np.ldexp(rows, shift[:, None])).T
    means = np.empty((rounds, len(rows)))
    for start, chosen in _draws(num, rounds, seed):
        size = len(chosen)
        flat = (chosen + num * np.arange(size, dtype=np.int64)[:, None]).ravel()
        counts = np.bincount(flat, minlength=size * num).reshape(size, num).astype(np.float64)
        means[start : start + size] = np.ldexp(counts @ whole, -shift) / num
    return means


def _draws(num: int, rounds: int, seed: int) -> Iterator[tuple[int, IntArray]]:
    """Give draws of `num` units with replacement: the first one's number, and [some, num] units."""
    import numpy as np

    generator = np.random.default_rng(seed)
    step = max(1, _CHUNK // num)
    for start in range(0, rounds, step):
        size = min(step, rounds - start)
        yield start, generator.integers(num, size=(size, num), dtype=np.int32)
