"""A table of numbers under several label columns, before it has a form.

Owns `Sheet`, from which the tables of suites and of papers are laid out. The rule: texts are rounded
once, here; the formats only set them. What the numbers are is left to `harness.tables`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from harness.tables.format import format_score
from harness.tables.suite_table import SuiteColumn, SuiteRow, SuiteTable
from harness.tables.table import Footnote, Standing

_MAX_NAMED = 4
"""Rows that a footnote names; more are counted, and carry its mark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetCell:
    """One number as it is shown."""

    value: float | None = None
    """In the unit of the text, not rounded; None for a blank."""
    text: str = ""
    standing: Standing = ""
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetRow:
    """One line."""

    labels: tuple[str, ...]
    cells: tuple[SheetCell, ...]
    last: str = ""
    """What stands in the last column, such as the coverage."""
    role: Literal["variant", "reference"] = "variant"
    marks: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    """What JSON says besides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A whole table, ready to be set in any format."""

    title: str
    label_heads: tuple[str, ...]
    heads: tuple[str, ...]
    rows: tuple[SheetRow, ...]
    last_head: str = ""
    """Head of the last column; empty for none."""
    footnotes: tuple[Footnote, ...] = ()
    notes: tuple[str, ...] = ()


def sheet_of(table: SuiteTable, *, references: Sequence[SuiteRow] = ()) -> Sheet:
    """Return the sheet of a suite's table.

    Args:
        table: The table.
        references: Rows that stand below it and take no rank, such as those that a paper prints.
    """
    everything = (*table.rows, *references)
    footnotes, marks = _footnotes(everything)
    rows = []
    for row in everything:
        cells = [_cell(value, column) for value, column in zip(row.values, table.columns, strict=True)]
        rows.append(
            SheetRow(
                labels=(row.model, row.revision),
                cells=tuple(cells),
                last=row.coverage,
                role="reference" if any(row is one for one in references) else "variant",
                marks=tuple(marks[sentence] for sentence in row.footnotes),
                facts=_facts(row),
            )
        )
    return Sheet(
        title=table.suite.name,
        label_heads=("model", "revision"),
        heads=tuple(column.name for column in table.columns),
        rows=tuple(_ranked(rows, table.columns)),
        last_head="coverage",
        footnotes=footnotes,
        notes=table.notes,
    )


def _footnotes(rows: Sequence[SuiteRow]) -> tuple[tuple[Footnote, ...], dict[str, str]]:
    """Return the footnotes in order of first use, and the mark of each sentence; rows may share one."""
    owners: dict[str, list[str]] = {}
    for row in rows:
        for sentence in row.footnotes:
            name = " ".join(part for part in (row.model, row.revision) if part)
            owners.setdefault(sentence, []).append(name)
    marks = {sentence: str(place) for place, sentence in enumerate(owners, start=1)}
    footnotes = tuple(
        Footnote(mark=marks[sentence], text=f"{_named(names)}: {sentence}")
        for sentence, names in owners.items()
    )
    return footnotes, marks


def _named(names: Sequence[str]) -> str:
    return "; ".join(names) if len(names) <= _MAX_NAMED else f"{len(names)} rows"


def _cell(value: float | None, column: SuiteColumn) -> SheetCell:
    if value is None:
        return SheetCell()
    if column.kind == "borda":
        return SheetCell(value=value, text=str(int(value)))
    return SheetCell(value=100 * value, text=format_score(value))


def _facts(row: SuiteRow) -> dict[str, Any]:
    return {
        "gaps": [
            {"task": gap.task, "state": gap.state, "reason": gap.reason, "files": list(gap.files)}
            for gap in row.gaps
        ]
    }


def _ranked(rows: Sequence[SheetRow], columns: Sequence[SuiteColumn]) -> list[SheetRow]:
    """Return the rows with the best and the second of each column marked, by the texts shown."""
    grid = [list(row.cells) for row in rows]
    for index, column in enumerate(columns):
        ranked = [
            place for place, row in enumerate(rows) if row.role == "variant" and row.cells[index].text
        ]
        shown = sorted({float(grid[place][index].text) for place in ranked})
        order = shown if column.kind == "borda" else shown[::-1]
        if len(ranked) < 2:
            continue
        names: tuple[Standing, ...] = ("best", "second")
        for text, standing in zip(order, names, strict=False):
            for place in ranked:
                if float(grid[place][index].text) == text:
                    grid[place][index] = replace(grid[place][index], standing=standing)
    return [replace(row, cells=tuple(cells)) for row, cells in zip(rows, grid, strict=True)]
