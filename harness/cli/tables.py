"""`harness tables`: a study's comparison table in the terminal."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer

from harness.cli.locate import load_records, locate_records
from harness.cli.options import HomeOption, JsonOption, StudyArgument


def command(
    study: StudyArgument,
    format_: Annotated[
        Literal["md", "csv", "tex", "json"],
        typer.Option("--format", "-f", help="Markdown, CSV, LaTeX or JSON."),
    ] = "md",
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Print a study's table, made from its records alone.

    STUDY may also be a folder that holds study.json and records.jsonl. Needs no model and no data.

    Examples: `harness tables quickstart`, `harness tables results/quickstart --format csv`
    """
    from harness.report.write import render_one

    summary, records = load_records(locate_records(study, home=home))
    sys.stdout.write(render_one(summary, records, f"table.{'json' if json else format_}"))
