"""A paper's printed tables, behind `harness tables results/published/<paper>`."""

from __future__ import annotations

import sys
from pathlib import Path


def print_paper(folder: Path, *, form: str, table: str | None) -> None:
    """Print a paper's tables, or the one named `table`.

    CSV of several tables is one line a number, since their columns differ.

    Raises:
        RecordError: If the folder is damaged or has no such table.
    """
    from harness.records.papers import read_paper
    from harness.report.paper_sheets import list_numbers, sheets_of
    from harness.report.sheet_formats import FORMATS

    paper = read_paper(folder)
    sheets = sheets_of(paper, table=table)
    if form == "csv" and len(sheets) > 1:
        sys.stdout.write(list_numbers(paper))
    elif form == "json":
        texts = [FORMATS[form](sheet).rstrip("\n") for sheet in sheets]
        sys.stdout.write("[\n" + ",\n".join(texts) + "\n]\n")
    else:
        sys.stdout.write("\n".join(FORMATS[form](sheet) for sheet in sheets))
    if form == "csv":
        for sheet in sheets:
            for note in sheet.footnotes:
                sys.stderr.write(f"[{note.mark}] {sheet.title}: {note.text}\n")
