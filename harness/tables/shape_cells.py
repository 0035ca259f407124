"""The cells of a shaped table.

Owns the means behind them. The rule: a cell is the mean over seeds of the mean over everything else that
falls into it, and is empty unless all of it is there and all of its variants have the same seeds. All
columns are computed together; which columns there are is left to `shape`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.tables.aggregate import group_means, mean_and_spread
from harness.tables.format import format_score
from harness.tables.long import VARIANT
from harness.tables.table import Cell, SeedValue

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    IntArray = npt.NDArray[np.int64]


def make_cells(
    part: pd.DataFrame, rows: str, *, scale: int, columns: str = "", within: str = ""
) -> dict[str, dict[str, Cell]]:
    """Return column -> row -> cell, in the order in which they appear.

    Args:
        part: Lines of the long frame, in codes.
        rows: The axis of rows.
        scale: By which values are multiplied when they are shown.
        columns: The axis of columns; one column, called by the empty text, if there is none.
        within: An axis whose values count once each, as types do in a mean over types.
    """
    import numpy as np

    seeds, seed = np.unique(part["seed"].to_numpy(), return_inverse=True)
    across, column_names = _codes(part, columns)
    down, row_names = _codes(part, rows)
    cell = across * len(row_names) + down
    values = part["value"].to_numpy()
    by_seed = cell * len(seeds) + seed
    if within not in {"", "task"}:
        inner, inner_names = _codes(part, within)
        groups, means = group_means(values, by_seed * len(inner_names) + inner)
        groups, means = group_means(means, groups // len(inner_names))
    else:
        # Each task counts once for each variant, whatever its languages.
        groups, means = group_means(values, by_seed)
    found: dict[int, list[tuple[int | None, float]]] = {}
    known = [None if one == -1 else one for one in seeds.tolist()]
    for number, value in zip(groups.tolist(), means.tolist(), strict=True):
        found.setdefault(number // len(seeds), []).append((known[number % len(seeds)], value))
    uneven = set() if VARIANT in (rows, columns) else _uneven(part, by_seed, len(seeds))
    cells: dict[str, dict[str, Cell]] = {}
    sizes = np.bincount(cell).tolist()
    present = np.bincount(cell, weights=~np.isnan(values)).astype(int).tolist()
    for number in found:
        count, size = present[number], sizes[number]
        name, label = column_names[number // len(row_names)], row_names[number % len(row_names)]
        if count < size:
            made = Cell(
                state="incomplete" if count else "missing", reason=f"{count} of {size} scores are there"
            )
        elif number in uneven:
            made = Cell(state="incomplete", reason="its variants do not have the same seeds")
        else:
            made = _filled(found[number], scale=scale)
        cells.setdefault(name, {})[label] = made
    return cells


def _codes(part: pd.DataFrame, axis: str) -> tuple[IntArray, list[str]]:
    """Return the codes of an axis' values and the texts that they stand for."""
    import numpy as np

    if not axis:
        return np.zeros(len(part), dtype=np.int64), [""]
    column: Any = part[axis].cat
    return column.codes.to_numpy().astype(np.int64), [str(one) for one in column.categories]


def _uneven(part: pd.DataFrame, by_seed: IntArray, num_seeds: int) -> set[int]:
    """Return the cells of which not every seed has as many variants.

    A mean over seeds of unequal cells would weigh variants by their seeds.
    """
    import numpy as np

    variant, names = _codes(part, VARIANT)
    number, counts = np.unique(
        np.unique(by_seed * len(names) + variant) // len(names), return_counts=True
    )
    kinds = np.unique(number // num_seeds * (len(names) + 1) + counts) // (len(names) + 1)
    cells, num_kinds = np.unique(kinds, return_counts=True)
    return set(cells[num_kinds > 1].tolist())


def _filled(values: list[tuple[int | None, float]], *, scale: int) -> Cell:
    mean, spread = mean_and_spread([value for _, value in values])
    return Cell(
        value=mean,
        text=format_score(mean, scale=scale),
        spread=spread,
        spread_text="" if spread is None else format_score(spread, scale=scale),
        per_seed=tuple([SeedValue(seed=seed, value=value) for seed, value in values]),
    )
