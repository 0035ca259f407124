"""A study's table in another shape, for `harness tables --rows --columns`."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.cli.locate import load_records
from harness.records.overlap import read_overlap


def print_shape(
    folder: Path,
    *,
    form: str,
    rows: str | None = None,
    columns: str | None = None,
    metric: str = "",
    suite: str | None = None,
) -> None:
    """Print one table on stdout.

    Args:
        folder: Folder of a study's records.
        form: `md`, `csv`, `tex`, `json` or `html`.
        rows: Axis of the rows; variants if empty.
        columns: Axis of the columns; tasks if empty, variants where the rows are tasks.
        metric: Name of a metric; each task's main one if empty.
        suite: One of the study's suites; all if empty.

    Raises:
        RecordError: If the study has no such axis, metric or suite.
    """
    from harness.report.single import render_single
    from harness.tables.shape import shape

    summary, records = load_records(folder)
    across = rows or "variant"
    table = shape(
        summary,
        records,
        rows=across,
        columns=columns or ("variant" if across == "task" else "task"),
        metric=metric,
        suite=suite or "",
        overlap=read_overlap(folder),
    )
    factors = tuple(summary.factors) if across == "variant" else ()
    sys.stdout.write(render_single(table, form, factors=factors))
