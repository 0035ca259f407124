"""`harness report`: a study's tables and page as files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.locate import load_records, locate_records
from harness.cli.options import HomeOption, JsonOption, StudyArgument, print_json


def command(
    study: StudyArgument,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="DIR", help="Folder to write into. Default: reports/STUDY"),
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Write a study's table as Markdown, CSV, LaTeX, JSON and HTML, and its page.

    The files depend on the records alone: written twice, they have the same bytes.

    Examples: `harness report quickstart`, `harness report results/quickstart --to /tmp/page`
    """
    from harness.records.overlap import read_overlap
    from harness.report.write import write_report
    from harness.tables.queries import read_queries

    folder = locate_records(study, home=home)
    summary, records = load_records(folder)
    output = to or Path("reports") / summary.name
    files = write_report(
        summary, records, output, queries=read_queries(folder), overlap=read_overlap(folder)
    )
    if json:
        print_json({"study": summary.name, "files": [str(file) for file in files]})
    else:
        sys.stdout.write("".join(f"{file}\n" for file in files))
