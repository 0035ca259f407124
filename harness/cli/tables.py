"""`harness tables`: a study's table in any shape, a suite's over any records, or those of a paper."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from harness.cli.locate import has_records, is_paper, load_records, locate_any
from harness.cli.options import HomeOption, JsonOption, StudyArgument

Format = Literal["md", "markdown", "csv", "tex", "latex", "json", "html"]
_SHORT = {"markdown": "md", "latex": "tex"}

RowsOption = Annotated[
    str | None, typer.Option("--rows", metavar="AXIS", help="Of a study. Default: variant.")
]
ColumnsOption = Annotated[
    str | None,
    typer.Option(
        "--columns", metavar="AXIS", help="Of a study: default task. Of a benchmark: type or task."
    ),
]
MetricOption = Annotated[
    str, typer.Option("--metric", help="Of a study: a metric's name. Default: each task's main one.")
]
SuiteOption = Annotated[
    str | None,
    typer.Option("--suite", metavar="NAME", help="One of the study's suites, or a benchmark of mteb."),
]
AverageOption = Annotated[
    list[str] | None,
    typer.Option("--average", metavar="KINDS", help="Of a benchmark: of task,type,borda."),
]
UnionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--union", metavar="ORDER", help="Of a benchmark: one line a model, from its revisions in order."
    ),
]
AcceptOption = Annotated[
    list[str] | None,
    typer.Option("--accept", metavar="TASK=SPLIT", help="Of a benchmark: let this split stand too."),
]
BesideOption = Annotated[
    list[Path] | None,
    typer.Option("--beside", metavar="DIR", help="Of a benchmark: a paper of results/published/."),
]
TableOption = Annotated[
    str | None, typer.Option("--table", metavar="ID", help="Of a paper: one of its tables.")
]


def command(
    study: StudyArgument,
    format_: Annotated[
        Format, typer.Option("--format", "-f", help="Markdown, CSV, LaTeX, JSON or an HTML fragment.")
    ] = "md",
    rows: RowsOption = None,
    columns: ColumnsOption = None,
    metric: MetricOption = "",
    suite: SuiteOption = None,
    average: AverageOption = None,
    union: UnionOption = None,
    accept: AcceptOption = None,
    beside: BesideOption = None,
    table: TableOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Print a table, made from records alone; needs no model and no data.

    STUDY may also be a folder: of a study, of imported records (with --suite), or of a paper.
    For a study, AXIS is variant, one of its factors, task, type, language, resource or e5-resource
    (groups of languages), suite, tier, domain or leaked (see `harness data overlap`); with it, a metric
    or a suite, one table of that shape is printed in place of the study's own.
    With a benchmark's name as --suite, any records are laid out as mteb's leaderboard does; ORDER lists
    revisions by name, or `external`, `none` (kept without one) and `revision` (any other). CSV then
    holds the numbers alone, and what is to be said of them is on stderr.

    Examples: `harness tables quickstart`, `harness tables quickstart --rows pairs --columns type`,
    `harness tables DIR --suite "MTEB(eng, v1)" --format csv`
    """
    folder = locate_any(study, home=home)
    form = "json" if json else _SHORT.get(format_, format_)
    if is_paper(folder):
        from harness.cli.papers import print_paper

        print_paper(folder, form=form, table=table)
    elif not has_records(folder) or (suite is not None and _is_benchmark(folder, suite)):
        from harness.cli.suites import print_suite

        print_suite(
            folder,
            suite,
            form=form,
            by=columns,
            average=average,
            union=union,
            accept=accept or [],
            beside=beside or [],
        )
    else:
        _print_study(folder, form=form, rows=rows, columns=columns, metric=metric, suite=suite)


def _is_benchmark(folder: Path, suite: str) -> bool:
    """Return whether `suite` is none of the study's own suites and a benchmark of mteb."""
    from harness.records.facts import is_suite

    summary, _ = load_records(folder)
    return suite not in {one.name for one in summary.suites} and is_suite(suite)


def _print_study(
    folder: Path, *, form: str, rows: str | None, columns: str | None, metric: str, suite: str | None
) -> None:
    if rows or columns or metric or suite:
        from harness.cli.shapes import print_shape

        print_shape(folder, form=form, rows=rows, columns=columns, metric=metric, suite=suite)
        return
    from harness.records.overlap import read_overlap
    from harness.report.write import render_one
    from harness.tables.queries import read_queries

    summary, records = load_records(folder)
    sys.stdout.write(
        render_one(
            summary, records, f"table.{form}", queries=read_queries(folder), overlap=read_overlap(folder)
        )
    )
