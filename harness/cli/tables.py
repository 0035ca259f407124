"""`harness tables`: a study's comparison table in the terminal, or a suite's over any records."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from harness.cli.locate import is_paper, load_records, locate_any, locate_records
from harness.cli.options import HomeOption, JsonOption, StudyArgument

Format = Literal["md", "markdown", "csv", "tex", "latex", "json", "html"]
_SHORT = {"markdown": "md", "latex": "tex"}


SuiteOption = Annotated[
    str | None, typer.Option("--suite", metavar="NAME", help="A benchmark, as mteb names it.")
]
ColumnsOption = Annotated[
    Literal["type", "task"], typer.Option("--columns", help="With --suite: what has a column.")
]
AverageOption = Annotated[
    str | None,
    typer.Option(
        "--average",
        metavar="KINDS",
        help="With --suite: of task,type,borda. Default: the suite's own.",
    ),
]
UnionOption = Annotated[
    str | None,
    typer.Option(
        "--union", metavar="ORDER", help="With --suite: one line a model, from its revisions in order."
    ),
]
AcceptOption = Annotated[
    list[str] | None,
    typer.Option("--accept", metavar="TASK=SPLIT", help="With --suite: let this split stand too."),
]
BesideOption = Annotated[
    list[Path] | None,
    typer.Option("--beside", metavar="DIR", help="With --suite: a paper of results/published/."),
]
TableOption = Annotated[
    str | None, typer.Option("--table", metavar="ID", help="One of the tables of a paper.")
]


def command(
    study: StudyArgument,
    format_: Annotated[
        Format, typer.Option("--format", "-f", help="Markdown, CSV, LaTeX, JSON or HTML.")
    ] = "md",
    suite: SuiteOption = None,
    columns: ColumnsOption = "type",
    average: AverageOption = None,
    union: UnionOption = None,
    accept: AcceptOption = None,
    beside: BesideOption = None,
    table: TableOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Print a study's table, made from its records alone; needs no model and no data.

    STUDY may also be a folder: of a study, of imported records (with --suite), or of a paper's tables
    under results/published/. CSV holds the numbers alone; what is to be said of them is on stderr.

    ORDER lists revisions by name, or `external`, `none` (kept without one) and `revision` (any other).

    Examples: `harness tables quickstart`, `harness tables DIR --suite "MTEB(eng, v1)" --format csv`
    """
    name = "json" if json else _SHORT.get(format_, format_)
    if suite is not None:
        from harness.cli.suites import print_suite

        print_suite(
            locate_any(study, home=home),
            suite,
            form=name,
            by=columns,
            average=average,
            union=union,
            accept=accept or [],
            beside=beside or [],
        )
        return
    folder = locate_any(study, home=home) if Path(study).is_dir() else None
    if folder is not None and is_paper(folder):
        from harness.cli.papers import print_paper

        print_paper(folder, form=name, table=table)
        return
    from harness.report.write import render_one

    summary, records = load_records(locate_records(study, home=home))
    sys.stdout.write(render_one(summary, records, f"table.{name}"))
