"""What is printed of a test: marks beside numbers, and the legend below a table.

Owns the marks. The rule: a mark says on which level its difference was tested, and `n.s.` is printed
where one was tested in vain. Which test a difference gets is left to `testing`.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from harness.tables.families import correct
from harness.tables.levels import Inference
from harness.tables.resampling import ROUNDS, SMALLEST_P
from harness.tables.table import Cell, Table

NOT_SIGNIFICANT = "n.s."
MARKS = {"seeds and queries": "*", "queries": "†", "seeds": "‡", "tasks": "§"}
_MEANINGS = {
    "seeds and queries": "over seeds and queries, each a level of its own",
    "queries": "over queries alone, for the models at hand (one shared seed)",
    "seeds": "over seeds alone",
    "tasks": "over the suite's tasks alone (one shared seed)",
}

_BEYOND = (
    f"Where none of {ROUNDS:,} draws reaches a difference over queries or tasks, its p is Student's: in "
    "so large a family draws alone could not make any difference significant."
)


def mark_of(inference: Inference) -> str:
    """Return what is printed beside a difference: the mark of its level, or `n.s.`."""
    return MARKS[inference.level] if inference.is_significant else NOT_SIGNIFICANT


def mark_if_significant(inference: Inference | None) -> str:
    """Return the mark of a significant difference, nothing for any other or none."""
    return MARKS[inference.level] if inference is not None and inference.is_significant else ""


def correct_cells(lines: Sequence[list[Cell]]) -> None:
    """Correct the tests of all cells as one family, and mark each anew, in place."""
    places = [
        (line, index) for line in lines for index, cell in enumerate(line) if cell.inference is not None
    ]
    tested = [line[index].inference for line, index in places]
    corrected = correct([one for one in tested if one is not None])
    for (line, index), one in zip(places, corrected, strict=True):
        line[index] = structs.replace(line[index], inference=one, mark=mark_of(one))


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
    tested = [cell.inference for cell in cells if cell.inference is not None]
    if any(one.level in {"queries", "tasks"} and one.p_value < SMALLEST_P for one in tested):
        return [family, _BEYOND]
    return [family]


def explain_levels(inferences: Sequence[Inference]) -> str:
    """Return the meaning of each mark that `inferences` can have."""
    levels = {one.level for one in inferences}
    return "; ".join(f"{MARKS[level]} {_MEANINGS[level]}" for level in MARKS if level in levels)
