"""Which differences from the baseline are more than chance, and how sure that is.

Owns the inference behind each difference of a table, and the one family over which it is corrected. The
rule: a difference is tested on the levels that were drawn, seeds and queries, and its mark says which:

- several shared seeds and per-query scores: over both, each as a level of its own;
- one seed: over queries, which speaks of the models at hand only;
- several seeds without per-query scores: over seeds only (repeated experiments of classification and
  clustering are not taken for queries: they say nothing of other test texts);
- a suite's mean: over seeds, or over its tasks where one seed is shared and there are enough tasks.

References are not tested: they are no question of the study. The arithmetic is left to `levels`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.records.summary import RowSummary, StudySummary
from harness.tables.differences import paired_differences
from harness.tables.families import correct
from harness.tables.levels import Inference, over_both, over_queries, over_seeds
from harness.tables.over_tasks import MIN_TASKS
from harness.tables.queries import QueryScores
from harness.tables.table import Cell, Column, Row, Table

if TYPE_CHECKING:
    from harness.tables.queries import FloatArray, Units

NOT_SIGNIFICANT = "n.s."
MARKS = {"seeds and queries": "*", "queries": "†", "seeds": "‡", "tasks": "§"}
_MEANINGS = {
    "seeds and queries": "over seeds and queries, each a level of its own",
    "queries": "over queries alone, for the models at hand (one shared seed)",
    "seeds": "over seeds alone",
    "tasks": "over the suite's tasks alone (one shared seed)",
}
_Place = tuple[int, int]
"""Row and column."""


def mark_of(inference: Inference) -> str:
    """Return what is printed beside a difference: the mark of its level, or `n.s.`."""
    return MARKS[inference.level] if inference.is_significant else NOT_SIGNIFICANT


def add_inference(
    table: Table,
    summary: StudySummary,
    queries: QueryScores | None,
) -> Table:
    """Return `table` with the inference of each variant's differences from the baseline.

    Args:
        table: Its rows in the order of `summary`, differences added.
        summary: The study.
        queries: Per-query scores; None where there are none.
    """
    baseline = next((index for index, row in enumerate(table.rows) if row.is_baseline), None)
    if baseline is None:
        return table
    found: dict[_Place, Inference] = {}
    for index, column in enumerate(table.columns):
        if column.kind == "task":
            found |= _test_task(table, summary.rows, queries, index, baseline=baseline)
        elif column.kind == "mean":
            found |= _test_mean(table, index, baseline=baseline)
    places = list(found)
    corrected = dict(zip(places, correct([found[place] for place in places]), strict=True))
    rows = [
        replace(row, cells=_with_inference(row, table.columns, place, corrected))
        for place, row in enumerate(table.rows)
    ]
    return replace(table, rows=tuple(rows))


def correct_cells(lines: Sequence[list[Cell]]) -> None:
    """Correct the tests of all cells as one family, and mark each anew, in place."""
    places = [
        (line, index) for line in lines for index, cell in enumerate(line) if cell.inference is not None
    ]
    tested = [line[index].inference for line, index in places]
    corrected = correct([one for one in tested if one is not None])
    for (line, index), one in zip(places, corrected, strict=True):
        line[index] = replace(line[index], inference=one, mark=mark_of(one))


def explain_marks(table: Table) -> list[str]:
    """Return the legend of the marks in a table; nothing where nothing was tested."""
    cells = [
        cell
        for row in table.rows
        for cell, column in zip(row.cells, table.columns, strict=True)
        if cell.inference is not None and column.kind != "delta"
    ]
    if not cells:
        return []
    shown = explain_levels([cell.inference for cell in cells if cell.inference is not None])
    family = (
        f"Differs from the baseline with p < 0.05 after Holm's correction over all {len(cells)} "
        f"comparisons of this table: {shown}. {NOT_SIGNIFICANT}: not significant. A difference without "
        "either has neither several seeds nor per-query scores to be tested with."
    )
    return [family]


def explain_levels(inferences: Sequence[Inference]) -> str:
    """Return the meaning of each mark that `inferences` can have."""
    levels = {one.level for one in inferences}
    return "; ".join(f"{MARKS[level]} {_MEANINGS[level]}" for level in MARKS if level in levels)


def _with_inference(
    row: Row, columns: Sequence[Column], place: int, found: Mapping[_Place, Inference]
) -> tuple[Cell, ...]:
    cells: list[Cell] = []
    for index, (cell, column) in enumerate(zip(row.cells, columns, strict=True)):
        inference = found.get((place, index))
        if column.kind == "delta":
            # A delta column always follows the column that it is taken of.
            inference = found.get((place, index - 1))
            mark = "" if inference is None else mark_of(inference)
        else:
            mark = MARKS[inference.level] if inference is not None and inference.is_significant else ""
        cells.append(cell if inference is None else replace(cell, inference=inference, mark=mark))
    return tuple(cells)


def _tested(table: Table, index: int, baseline: int) -> list[int]:
    """Return the rows that have a difference in a column and are compared with the baseline."""
    return [
        place
        for place, row in enumerate(table.rows)
        if place != baseline and row.role == "variant" and row.cells[index].delta is not None
    ]


def _test_task(
    table: Table,
    rows: Sequence[RowSummary],
    queries: QueryScores | None,
    index: int,
    *,
    baseline: int,
) -> dict[_Place, Inference]:
    column = table.columns[index]
    found: dict[_Place, Inference] = {}
    single: dict[int, tuple[Units, FloatArray]] = {}
    for place in _tested(table, index, baseline):
        pair = _paired_units(rows[place], rows[baseline], column, queries)
        if pair is not None and len(pair[1]) == 1:
            single[place] = pair
            continue
        inference = None if pair is None else over_both(pair[1])
        if inference is None:
            inference = _seeds(table, index, place, baseline)
        if inference is not None:
            found[place, index] = inference
    return found | _test_together(single, index)


def _test_together(
    single: Mapping[int, tuple[Units, FloatArray]], index: int
) -> dict[_Place, Inference]:
    """Test rows of one seed; those with the same units share the draws."""
    import numpy as np

    groups: dict[bytes, list[int]] = {}
    for place, (units, _) in single.items():
        groups.setdefault(units.keys.tobytes(), []).append(place)
    found: dict[_Place, Inference] = {}
    for places in groups.values():
        differences = np.concatenate([single[place][1] for place in places])
        tested = over_queries(differences)
        found |= {(place, index): one for place, one in zip(places, tested, strict=True)}
    return found


def _paired_units(
    row: RowSummary, base: RowSummary, column: Column, queries: QueryScores | None
) -> tuple[Units, FloatArray] | None:
    """Return units and differences [shared seeds, n]; None unless both rows have them throughout."""
    if queries is None:
        return None
    ours = {member.seed: member for member in row.members}
    theirs = {member.seed: member for member in base.members}
    seeds = [seed for seed in ours if seed in theirs and seed is not None]
    first, second = (
        queries.matrix(
            [side[seed] for seed in seeds],
            suite=column.suite,
            task=column.task,
            metric=column.metric,
        )
        for side in (ours, theirs)
    )
    if first is None or second is None or first[0].unit != "query":
        return None
    if first[0].keys.tobytes() != second[0].keys.tobytes():
        return None
    return first[0], first[1] - second[1]


def _seeds(table: Table, index: int, place: int, baseline: int) -> Inference | None:
    import numpy as np

    paired = paired_differences(
        table.rows[place].cells[index].per_seed, table.rows[baseline].cells[index].per_seed
    )
    return over_seeds(np.array(list(paired.values())))


def _test_mean(table: Table, index: int, *, baseline: int) -> dict[_Place, Inference]:
    found = {}
    for place in _tested(table, index, baseline):
        inference = _seeds(table, index, place, baseline) or _tasks(table, index, place)
        if inference is not None:
            found[place, index] = inference
    return found


def _tasks(table: Table, index: int, place: int) -> Inference | None:
    """Return what a suite's tasks say of a row with one shared seed; None for too few tasks."""
    import numpy as np

    cells = [
        cell.delta
        for cell, column in zip(table.rows[place].cells, table.columns, strict=True)
        if column.kind == "task" and column.suite == table.columns[index].suite
    ]
    values = [delta.value for delta in cells if delta is not None]
    if len(values) < max(MIN_TASKS, len(cells)) or not all(map(math.isfinite, values)):
        return None
    (found,) = over_queries(np.array([values]), level="tasks")
    return found
