"""`harness verify`: rebuild the published reports from the published records and compare."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.locate import RESULTS, has_records, load_records, published, study_name
from harness.cli.options import JsonOption, print_json
from harness.errors import RecordError, did_you_mean

REPORTS = Path("reports")


def command(
    study: Annotated[
        str | None,
        typer.Argument(metavar="[STUDY]", help="A study under results/. Default: all of them."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Rebuild the tables and pages under reports/ from results/ and compare them, file by file.

    OK: the same bytes. rounding: the same but for the last digit of numbers. differs: anything else;
    the exit code is then 1. Needs no model, no data and no network.

    Examples: `harness verify`, `harness verify quickstart`
    """
    from harness.report.agreement import Agreement, compare_report

    found: list[Agreement] = []
    for folder in _folders(study):
        summary, records = load_records(folder)
        found.extend(compare_report(summary, records, REPORTS / folder.name))
    num_differing = sum(one.status == "differs" for one in found)
    if json:
        print_json(
            {
                "files": [
                    {"file": str(one.file), "status": one.status, "detail": one.detail} for one in found
                ],
                "num_differing": num_differing,
            }
        )
    else:
        for one in found:
            sys.stdout.write(f"{one.status:<9} {one.file}\n")
            if one.detail:
                sys.stdout.write(f"{'':<9} {one.detail}\n")
        sys.stderr.write(f"{len(found)} files rebuilt, {num_differing} differ\n")
    if num_differing:
        raise typer.Exit(1)


def _folders(study: str | None) -> list[Path]:
    folders = published(RESULTS)
    if study is None:
        if not folders:
            raise RecordError(
                f"no published study in {RESULTS}/", cure="run this in a checkout that holds results/"
            )
        return folders
    if has_records(Path(study)):
        return [Path(study)]
    name = study_name(study)
    if RESULTS / name in folders:
        return [RESULTS / name]
    known = [folder.name for folder in folders]
    raise RecordError(
        f"no published study {name!r} in {RESULTS}/",
        cure=f"published: {', '.join(known) or 'none'}.{did_you_mean(name, known)}",
    )
