"""`harness verify`: rebuild the published reports from the published records and compare."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import harness
from harness.cli.locate import RESULTS, has_records, published, study_name
from harness.cli.options import HomeOption, JsonOption, print_json
from harness.errors import RecordError, did_you_mean

if TYPE_CHECKING:
    from harness.report.agreement import Agreement

REPORTS = Path("reports")
_MAX_CELLS = 20


def command(
    study: Annotated[
        str | None,
        typer.Argument(metavar="[STUDY]", help="A study under results/. Default: all of them."),
    ] = None,
    artifacts: Annotated[
        bool,
        typer.Option("--artifacts", help="Read the whole store instead, and compare every checksum."),
    ] = False,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="With --artifacts: remove what is damaged; a run makes it anew."),
    ] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Rebuild the tables and pages under reports/ from results/ and compare them, cell by cell.

    OK: the same bytes. rounding: the same but for the last digit of numbers. differs: anything else;
    the exit code is then 1. Cells that are not the same are listed. Needs no model, no data and no
    network.

    Examples: `harness verify`, `harness verify quickstart`, `harness verify --artifacts`
    """
    if artifacts:
        from harness.cli.verify_store import verify_store
        from harness.execution.homes import open_store

        verify_store(open_store(home), repair=repair, as_json=json)
        return
    from harness.report.agreement import compare_report

    found: list[Agreement] = []
    for folder in _folders(study):
        found.extend(compare_report(_rebuild(folder), REPORTS / folder.name))
    num_differing = sum(one.status == "differs" for one in found)
    if json:
        print_json({"files": [_as_json(one) for one in found], "num_differing": num_differing})
    else:
        for one in found:
            _show(one)
        num_cells = sum(one.num_cells for one in found)
        sys.stderr.write(
            f"{len(found)} files with {num_cells} cells rebuilt, {num_differing} files differ\n"
        )
    if num_differing:
        raise typer.Exit(1)


def _rebuild(folder: Path) -> dict[str, str]:
    """Return the report's files as a process of its own makes them from the records alone.

    The process has no settings but where this package lies, and works in a folder of its own.

    Raises:
        RecordError: If the records cannot be read or contradict each other.
    """
    package = Path(harness.__file__).parent.parent
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "harness.cli", "report", str(folder.absolute()), "--to", place]
        environment = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(package), "HOME": place}
        done = subprocess.run(
            command, cwd=place, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RecordError(f"{folder} cannot be rebuilt: {done.stderr.strip()}")
        names = [Path(line).name for line in done.stdout.splitlines()]
        return {name: (Path(place) / name).read_bytes().decode("utf-8") for name in names}


def _show(one: Agreement) -> None:
    num_same = one.num_cells - len(one.cells)
    count = f"  {num_same} of {one.num_cells} cells the same" if one.cells else ""
    sys.stdout.write(f"{one.status:<9} {one.file}{count}\n")
    if not one.cells and one.detail:
        sys.stdout.write(f"{'':<9} {one.detail}\n")
    # Those that differ are never hidden behind many that are only rounded otherwise.
    ordered = sorted(one.cells, key=lambda cell: cell.status == "rounding")
    for cell in ordered[:_MAX_CELLS]:
        sys.stdout.write(
            f"{'':<9} {cell.status:<9} {cell.place}: "
            f"published {cell.published!r}, rebuilt {cell.rebuilt!r}\n"
        )
    if len(ordered) > _MAX_CELLS:
        sys.stdout.write(f"{'':<9} and {len(ordered) - _MAX_CELLS} more cells: --json lists them\n")


def _as_json(one: Agreement) -> dict[str, object]:
    return {
        "file": str(one.file),
        "status": one.status,
        "detail": one.detail,
        "num_cells": one.num_cells,
        "cells": [
            {
                "place": cell.place,
                "status": cell.status,
                "published": cell.published,
                "rebuilt": cell.rebuilt,
            }
            for cell in one.cells
        ],
    }


def _folders(study: str | None) -> list[Path]:
    folders = published(RESULTS)
    if study is None:
        if not folders:
            sys.stderr.write(f"no study is published in {RESULTS}/: there is nothing to rebuild\n")
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
