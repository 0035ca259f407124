"""The main table as CSV: one line a row, plain numbers, blank where there is none.

Owns the CSV columns. The rule: a column has one meaning and one type, so a spreadsheet and pandas read
the file without help; states and reasons are left to the JSON file.
"""

from __future__ import annotations

import csv
import io

from harness.report.content import Report
from harness.tables.format import format_score
from harness.tables.table import Row


def render_csv(report: Report) -> str:
    """Return `table.csv`. Values and standard deviations are in points where the metric is 0 to 1."""
    table = report.table
    spread = [
        any(row.cells[index].spread is not None for row in table.rows)
        for index in range(len(table.columns))
    ]
    heads = ["row", "role", "is_baseline", *(f"factor:{name}" for name in report.factors), "num_seeds"]
    for column, has_spread in zip(table.columns, spread, strict=True):
        heads.append(column.key)
        if has_spread:
            heads.append(f"{column.key}:sd")
    heads.extend(["tasks_complete", "tasks_total"])
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(heads)
    for row in table.rows:
        writer.writerow(_line(report, row, spread))
    return buffer.getvalue()


def _line(report: Report, row: Row, spread: list[bool]) -> list[str]:
    line = [row.label, row.role, str(row.is_baseline).lower()]
    line.extend(row.levels.get(name, "") for name in report.factors)
    line.append(str(len(row.seeds)))
    for cell, column, has_spread in zip(row.cells, report.table.columns, spread, strict=True):
        line.append("" if cell.value is None else format_score(cell.value, scale=column.scale))
        if has_spread:
            line.append("" if cell.spread is None else format_score(cell.spread, scale=column.scale))
    return [*line, str(row.num_complete), str(row.num_tasks)]
