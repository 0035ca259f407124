"""Papers' rows beside ours, and papers' averages beside their own columns.

Owns the check of a printed average against what stands left of it, and the rows that a paper lends to a
suite's table. The rule: a printed number is shown as printed; where the columns give another average,
the row says so with both.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from harness.errors import RecordError
from harness.records.facts import find_suite
from harness.records.papers import AVERAGE, Paper, PaperRow, PaperTable
from harness.tables.suite_table import SuiteColumn, SuiteRow, SuiteTable


def check_average(paper: Paper, table: PaperTable, row: PaperRow) -> str:
    """Return what is to be said of a printed average; empty if it agrees or cannot be checked.

    An average agrees if it lies within one unit of its last printed place of the mean that the columns
    give, each type weighted by its number of tasks: the columns are rounded themselves.
    """
    printed = paper.printed(table, row, AVERAGE)
    computed = mean_of_columns(paper, table, row)
    if printed is None or computed is None:
        return ""
    unit = Decimal(1).scaleb(-row.decimals)
    if abs(printed - computed) <= unit:
        return ""
    shown = computed.quantize(unit)
    return f"the printed average is {printed}, its own columns give {shown}"


def mean_of_columns(paper: Paper, table: PaperTable, row: PaperRow) -> Decimal | None:
    """Return the mean over a suite's tasks that a printed row's columns give; None if one lacks."""
    if not table.suite:
        return None
    suite = find_suite(table.suite)
    names = [task.name for task in suite.tasks]
    if not set(names) <= set(table.columns):
        names = [task.task_type for task in suite.tasks]
    values = [paper.printed(table, row, name) for name in names]
    kept = [value for value in values if value is not None]
    return sum(kept, Decimal(0)) / len(kept) if len(kept) == len(values) else None


def reference_rows(paper: Paper, table: SuiteTable) -> list[SuiteRow]:
    """Return a paper's rows for a suite's table, each with its name, its table and its remarks.

    Raises:
        RecordError: If the paper prints nothing on the suite.
    """
    rows = list(_rows(paper, table))
    if not rows:
        printed = sorted({one.suite for one in paper.layout.tables if one.suite})
        raise RecordError(
            f"{paper.layout.name} prints nothing on {table.suite.name}",
            cure=f"it prints {', '.join(printed) or 'no suite of mteb'}",
        )
    return rows


def _rows(paper: Paper, table: SuiteTable) -> Iterator[SuiteRow]:
    for printed in paper.layout.tables:
        if printed.suite != table.suite.name:
            continue
        for row in printed.rows:
            values = tuple(_value(paper, printed, row, column) for column in table.columns)
            if all(value is None for value in values):
                continue
            told = [*row.notes, check_average(paper, printed, row)]
            yield SuiteRow(
                model=row.name,
                revision=f"arXiv {paper.layout.arxiv}, {printed.id}",
                values=values,
                num_complete=sum(
                    paper.printed(printed, row, task.name) is not None for task in table.suite.tasks
                ),
                num_tasks=len(table.suite.tasks),
                is_printed=True,
                footnotes=tuple(sentence for sentence in told if sentence),
            )


def _value(paper: Paper, printed: PaperTable, row: PaperRow, column: SuiteColumn) -> float | None:
    if column.kind in {"task", "type"} or column.name == AVERAGE:
        value = paper.printed(printed, row, column.name)
        return None if value is None else float(value / 100)
    return None
