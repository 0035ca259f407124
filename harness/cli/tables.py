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
        Literal["md", "csv", "tex", "json", "html"],
        typer.Option("--format", "-f", help="Markdown, CSV, LaTeX, JSON or an HTML fragment."),
    ] = "md",
    rows: Annotated[str | None, typer.Option("--rows", metavar="AXIS", help="Default: variant.")] = None,
    columns: Annotated[
        str | None, typer.Option("--columns", metavar="AXIS", help="Default: task.")
    ] = None,
    metric: Annotated[
        str, typer.Option("--metric", help="A metric's name. Default: each task's main one.")
    ] = "",
    suite: Annotated[
        str | None, typer.Option("--suite", metavar="NAME", help="One of the study's suites.")
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Print a study's table, made from its records alone.

    STUDY may also be a folder that holds study.json and records.jsonl. Needs no model and no data.
    AXIS is variant, one of the study's factors, task, type, language or suite; with it, a metric or a
    suite, one table of that shape is printed in place of the study's own.

    Examples: `harness tables quickstart`, `harness tables results/quickstart --format csv`,
    `harness tables quickstart --rows pairs --columns type`
    """
    folder = locate_records(study, home=home)
    form = "json" if json else format_
    if rows or columns or metric or suite:
        from harness.cli.shapes import print_shape

        print_shape(folder, form=form, rows=rows, columns=columns, metric=metric, suite=suite)
        return
    from harness.report.write import render_one
    from harness.tables.queries import read_queries

    summary, records = load_records(folder)
    sys.stdout.write(render_one(summary, records, f"table.{form}", queries=read_queries(folder)))
