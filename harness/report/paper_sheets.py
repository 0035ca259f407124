"""A paper's printed tables as sheets.

Owns what is said beside the printed numbers: where they stand, and where an average disagrees with its
own columns. The rule: numbers keep the digits that were printed.
"""

from __future__ import annotations

import csv
import io

from harness.records.papers import Paper, PaperRow, PaperTable
from harness.report.sheet import Sheet, SheetCell, SheetRow
from harness.tables.papers import check_average
from harness.tables.table import Footnote


def sheets_of(paper: Paper, *, table: str | None = None) -> list[Sheet]:
    """Return the sheets of a paper's tables, or of the one with this id.

    Raises:
        RecordError: If there is no such table.
    """
    tables = paper.layout.tables if table is None else (paper.table(table),)
    return [_sheet(paper, one) for one in tables]


def list_numbers(paper: Paper) -> str:
    """Return all of a paper's numbers as CSV, one a line."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["table", "row", "column", "value", "source"])
    for table in paper.layout.tables:
        for row in table.rows:
            for column in table.columns:
                record = paper.records.get((table.id, row.name, column))
                if record is not None:
                    printed = paper.printed(table, row, column)
                    writer.writerow([table.id, row.name, column, printed, record.source])
    return buffer.getvalue()


def _sheet(paper: Paper, table: PaperTable) -> Sheet:
    footnotes: list[Footnote] = []
    marks: dict[str, tuple[str, ...]] = {}
    for row in table.rows:
        told = [sentence for sentence in (*row.notes, check_average(paper, table, row)) if sentence]
        first = len(footnotes) + 1
        footnotes += [
            Footnote(mark=str(first + place), text=f"{row.name}: {sentence}")
            for place, sentence in enumerate(told)
        ]
        marks[row.name] = tuple(str(first + place) for place in range(len(told)))
    sources = sorted({one.source for key, one in paper.records.items() if key[0] == table.id})
    title = f"{table.title} ({table.id})"
    notes = (*table.notes, *(f"Source: {source}." for source in sources))
    if table.is_transposed:
        heads = [row.name + "".join(f" [{one}]" for one in marks[row.name]) for row in table.rows]
        lines = [
            SheetRow(
                labels=(column,), cells=tuple(_cell(paper, table, row, column) for row in table.rows)
            )
            for column in table.columns
        ]
    else:
        heads = list(table.columns)
        lines = [
            SheetRow(
                labels=(row.name,),
                cells=tuple(_cell(paper, table, row, column) for column in table.columns),
                marks=marks[row.name],
            )
            for row in table.rows
        ]
    return Sheet(
        title=title,
        label_heads=("column" if table.is_transposed else "row",),
        heads=tuple(heads),
        rows=tuple(lines),
        footnotes=tuple(footnotes),
        notes=notes,
    )


def _cell(paper: Paper, table: PaperTable, row: PaperRow, column: str) -> SheetCell:
    printed = paper.printed(table, row, column)
    return SheetCell() if printed is None else SheetCell(value=float(printed), text=str(printed))
