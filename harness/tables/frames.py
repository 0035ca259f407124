"""Studies as wide pandas frames.

Owns `frame`, a table of any shape as numbers. The rule: it holds what the table of that shape shows, and
is empty where that has no number. The long frame, one line a score, is left to `long`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.records.overlap import read_overlap
from harness.records.store import read_records
from harness.records.summary import read_summary
from harness.tables.long import VARIANT

if TYPE_CHECKING:
    import pandas as pd


def frame(
    study: Path | str,
    *,
    rows: str = VARIANT,
    columns: str = "task",
    metric: str = "",
    suite: str = "",
) -> pd.DataFrame:
    """Return a study's table as a frame of numbers, empty where a cell is incomplete.

    Args:
        study: Folder with `study.json` and `records.jsonl`.
        rows: `variant`, a factor, or one of `TASK_AXES`.
        columns: The same, another one.
        metric: Name of a metric; each task's main one if empty.
        suite: One suite; all if empty.

    Returns:
        One line a row of the table, one column a column, in points where the metric is 0 to 1. `attrs`
        holds `coverage` (row -> k/n), `footnotes` and `notes`.

    Raises:
        RecordError: If the study cannot be read, or an axis, a metric or a suite is not in it.
    """
    from harness.tables.shape import shape

    folder = Path(study)
    table = shape(
        read_summary(folder / "study.json"),
        read_records(folder / "records.jsonl"),
        rows=rows,
        columns=columns,
        metric=metric,
        suite=suite,
        overlap=read_overlap(folder),
    )
    import pandas as pd

    values = {
        column.key: [
            None if row.cells[index].value is None else (row.cells[index].value or 0.0) * column.scale
            for row in table.rows
        ]
        for index, column in enumerate(table.columns)
    }
    labels = pd.Index([row.label for row in table.rows], name=rows)
    wide = pd.DataFrame(values, index=labels, dtype="float64")
    wide.attrs["coverage"] = {row.label: row.coverage for row in table.rows}
    wide.attrs["footnotes"] = {one.mark: one.text for one in table.footnotes}
    wide.attrs["notes"] = list(table.notes)
    return wide
