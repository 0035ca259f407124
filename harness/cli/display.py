"""A comparison table on the terminal: drawn for people, Markdown for pipes."""

from __future__ import annotations

import sys

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from harness.report.markdown import render_table
from harness.tables.table import Cell, Table

_STYLES = {"best": "bold green", "second": "underline", "": ""}


def show_table(table: Table) -> None:
    """Print a table on stdout."""
    if not sys.stdout.isatty():
        sys.stdout.write(render_table(table))
        return
    grid = Grid(box=box.SIMPLE_HEAD)
    grid.add_column(overflow="fold")
    for column in table.columns:
        metric = f"\n[dim]{escape(column.metric)}[/]" if column.metric else ""
        grid.add_column(escape(column.title) + metric, justify="right", overflow="fold")
    for row in table.rows:
        marks = "".join(f" [{mark}]" for mark in row.notes)
        label = row.label + (" (baseline)" if row.is_baseline else "") + marks
        style = "dim" if row.role == "reference" else ""
        # A level a line keeps the label narrow where there are many factors.
        lines = escape(label).replace(", ", "\n")
        grid.add_row(lines, *(_cell(cell) for cell in row.cells), style=style)
    console = Console(highlight=False)
    console.print(grid)
    for footnote in table.footnotes:
        console.print(escape(f"[{footnote.mark}] {footnote.text}"), style="dim")


def _cell(cell: Cell) -> str:
    text = escape(cell.display + "".join(f" [{mark}]" for mark in cell.notes))
    style = _STYLES[cell.standing]
    return f"[{style}]{text}[/]" if style else text
