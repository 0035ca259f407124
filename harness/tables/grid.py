"""What each factor, and each pair of factors, contributes to a column of a full grid.

Owns the analysis of variance of a study whose variants are all combinations of its factors' levels.
The rule: only full grids in which every variant has the same seeds are analysed, since only there the
parts do not depend on their order. Seeds are blocks, shared by all variants: they are a term of their
own and the error is what remains beside factors, interactions and seeds. Columns of one grid share their
least squares: a term's basis is found once. The tests hold the numbers against statsmodels.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.tables.families import holm
from harness.tables.table import Row, Table

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

SEEDS = "seeds"
REST = "rest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One line of an analysis of variance."""

    name: str
    """A factor, two factors joined by `by`, `seeds` or `rest`."""
    degrees: int
    squares: float
    """Sum of squares."""
    share: float
    """Part of the total sum of squares, 0 to 1 (eta squared)."""
    f_value: float | None = None
    """None for the rest, and where nothing remains to hold a term against."""
    p_value: float | None = None
    adjusted: float | None = None
    """Holm over the factors and interactions of the column."""


def analyse(table: Table, column: int, *, factors: Mapping[str, tuple[str, ...]]) -> tuple[Term, ...]:
    """Return the terms of a column: factors, their pairs, seeds, rest; empty unless the grid is full.

    Args:
        table: The study's table.
        column: Index of a task or mean column.
        factors: Factor -> levels. Factors of one level are left out.
    """
    varied = {name: levels for name, levels in factors.items() if len(levels) > 1}
    grid = _grid(table, column, varied)
    if grid is None:
        return ()
    values, codes, num_seeds = grid
    # Interactions of three and more factors are part of the rest.
    names = [(name,) for name in varied] + list(itertools.combinations(varied, 2))
    bases: dict[tuple[str, ...], FloatArray] = {
        chosen: _basis(tuple(codes[name] for name in chosen)) for chosen in names
    }
    if num_seeds > 1:
        bases[(SEEDS,)] = _basis((codes[SEEDS],))
    return _terms(values, bases)


def _grid(
    table: Table, column: int, factors: Mapping[str, tuple[str, ...]]
) -> tuple[FloatArray, dict[str, tuple[int, ...]], int] | None:
    """Return values, codes of levels and seeds, and the number of seeds; None if anything lacks."""
    rows = [row for row in table.rows if row.role == "variant"]
    wanted = set(itertools.product(*factors.values()))
    found = {tuple(row.levels.get(name, "") for name in factors): row for row in rows}
    if len(factors) < 2 or set(found) != wanted or len(rows) != len(wanted):
        return None
    seeds = {tuple(sorted(_seeds(row, column))) for row in rows}
    if len(seeds) != 1 or any(row.cells[column].state != "ok" for row in rows):
        return None
    import numpy as np

    shared = seeds.pop()
    values: list[float] = []
    codes: dict[str, list[int]] = {name: [] for name in (*factors, SEEDS)}
    for levels, row in sorted(found.items()):
        for one in sorted(row.cells[column].per_seed, key=lambda one: one.seed or 0):
            values.append(one.value)
            codes[SEEDS].append(shared.index(one.seed or 0))
            for name, level in zip(factors, levels, strict=True):
                codes[name].append(factors[name].index(level))
    return np.array(values), {name: tuple(one) for name, one in codes.items()}, len(shared)


def _seeds(row: Row, column: int) -> list[int]:
    return [one.seed or 0 for one in row.cells[column].per_seed]


@functools.lru_cache(maxsize=64)
def _basis(codes: tuple[tuple[int, ...], ...]) -> FloatArray:
    """Return orthonormal columns that span a term: products of its factors' sum-to-zero contrasts."""
    import numpy as np

    block = np.ones((len(codes[0]), 1))
    for one in codes:
        numbers = np.asarray(one)
        num = int(numbers.max()) + 1
        contrasts = np.vstack([np.eye(num - 1), -np.ones((1, num - 1))])
        block = (block[:, :, None] * contrasts[numbers][:, None, :]).reshape(len(numbers), -1)
    return np.linalg.qr(block).Q


def _terms(values: FloatArray, bases: Mapping[tuple[str, ...], FloatArray]) -> tuple[Term, ...]:
    total = float(((values - values.mean()) ** 2).sum())
    if total == 0:
        return ()
    squares, degrees = {}, {}
    for name, basis in bases.items():
        # In a full grid the terms are orthogonal: each one's part needs no other.
        squares[name], degrees[name] = float(((basis.T @ values) ** 2).sum()), basis.shape[1]
    left = len(values) - 1 - sum(degrees.values())
    rest = max(0.0, total - math.fsum(squares.values()))
    if rest < 1e-12 * total:
        rest = 0.0
    terms = [
        Term(
            name=" by ".join(name),
            degrees=degrees[name],
            squares=squares[name],
            share=squares[name] / total,
            **_test(squares[name], degrees[name], rest, left),
        )
        for name in bases
    ]
    tested = [one for one in terms if one.p_value is not None and one.name != SEEDS]
    adjusted = dict(
        zip((one.name for one in tested), holm([one.p_value or 0.0 for one in tested]), strict=True)
    )
    corrected = [replace(one, adjusted=adjusted.get(one.name)) for one in terms]
    return (*corrected, Term(name=REST, degrees=left, squares=rest, share=rest / total))


def _test(squares: float, degrees: int, rest: float, left: int) -> dict[str, float | None]:
    if left < 1 or rest <= 0:
        return {"f_value": None, "p_value": None}
    from scipy.special import fdtrc

    ratio = (squares / degrees) / (rest / left)
    return {"f_value": ratio, "p_value": float(fdtrc(degrees, left, ratio))}
