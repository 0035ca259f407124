"""A table as CSV: one line a row, plain numbers, blank where there is none.

Owns the CSV columns. The rule: a column has one meaning and one type, so a spreadsheet and pandas read
the file without help; states and reasons are left to the JSON file.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from harness.report.content import Report
from harness.tables.format import format_difference, format_score
from harness.tables.table import Cell, Column, Row, Table


def render_csv(report: Report) -> str:
    """Return `table.csv`, the main table."""
    return render_csv_table(report.table, factors=tuple(report.factors))


def render_csv_table(table: Table, *, factors: Sequence[str] = ()) -> str:
    """Return a table as CSV.

    Values and standard deviations are in points where the metric is 0 to 1. Where differences from the
    baseline were tested, a column's own are followed by its difference, the ends of the 95 % interval
    and the corrected p-value. Where a row may know a task, a column says so: `leaked`, `in-domain`.
    """
    columns = [(index, column, *_has(table, index)) for index, column in enumerate(table.columns)]
    exposed = {index for row in table.rows for index, cell in enumerate(row.cells) if cell.exposure}
    keys = {column.key for column in table.columns}
    heads = ["row", "role", "is_baseline", *(f"factor:{name}" for name in factors), "num_seeds"]
    for index, column, has_spread, is_tested in columns:
        heads.append(column.key)
        if index in exposed:
            heads.append(f"{column.key}:exposure")
        if has_spread:
            heads.append(f"{column.key}:sd")
        if is_tested:
            extra = [] if f"{column.key}:delta" in keys else [f"{column.key}:delta"]
            heads += [*extra, *(f"{column.key}:delta:{part}" for part in ("low", "high", "p"))]
    heads.extend(["tasks_complete", "tasks_total"])
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(heads)
    for row in table.rows:
        line = [row.label, row.role, str(row.is_baseline).lower()]
        line.extend(row.levels.get(name, "") for name in factors)
        line.append(str(len(row.seeds)))
        for index, column, has_spread, is_tested in columns:
            cell = row.cells[index]
            line.append(_number(cell.value, column))
            if index in exposed:
                line.append(cell.exposure)
            if has_spread:
                line.append(_number(cell.spread, column))
            if is_tested:
                line += _tested(cell, column, has_own=f"{column.key}:delta" in keys)
        writer.writerow([*line, *_coverage(row)])
    return buffer.getvalue()


def _has(table: Table, index: int) -> tuple[bool, bool]:
    """Return whether a column has spreads, and whether its differences were tested."""
    cells = [row.cells[index] for row in table.rows]
    is_tested = table.columns[index].kind != "delta" and any(cell.inference for cell in cells)
    return any(cell.spread is not None for cell in cells), is_tested


def _number(value: float | None, column: Column) -> str:
    return "" if value is None else format_score(value, scale=column.scale)


def _tested(cell: Cell, column: Column, *, has_own: bool) -> list[str]:
    one = cell.inference
    if one is None:
        return [""] * (3 if has_own else 4)
    ends = [format_difference(value, scale=column.scale) for value in (one.value, one.low, one.high)]
    p_value = one.p_value if one.adjusted is None else one.adjusted
    return [*ends[has_own:], f"{p_value:.4f}"]


def _coverage(row: Row) -> list[str]:
    return [str(row.num_complete), str(row.num_tasks)]
