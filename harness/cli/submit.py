"""`harness submit`: hand a run to a Ray cluster and leave."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import (
    HomeOption,
    JsonOption,
    MirrorOption,
    PriorityOption,
    ProfileOption,
    ReportsOption,
    StudyArgument,
    print_json,
)
from harness.errors import HarnessError
from harness.execution.homes import open_store
from harness.execution.submissions import DEFAULT_ADDRESS, is_loopback, submit
from harness.study import find_study, load_study

UploadOption = Annotated[
    Path | None,
    typer.Option(
        "--upload",
        metavar="DIR",
        file_okay=False,
        exists=True,
        help="Copy this folder, which holds the study, to the cluster. Default: the cluster sees this "
        "machine's folders.",
    ),
]


def command(
    study: StudyArgument,
    address: Annotated[
        str,
        typer.Option(
            envvar="HARNESS_JOBS_ADDRESS", help="URL of the cluster's job server (its dashboard)."
        ),
    ] = DEFAULT_ADDRESS,
    profile: ProfileOption = None,
    priority: PriorityOption = 0,
    upload: UploadOption = None,
    home: HomeOption = None,
    mirror: MirrorOption = None,
    reports: ReportsOption = Path("reports"),
    json: JsonOption = False,
) -> None:
    """Check a study here, run it on a Ray cluster, and return at once with the submission's id.

    `harness status ID`, `harness logs ID -f` and `harness cancel ID` ask for it; so do the same verbs
    with the study or a step, on a store that this machine sees.

    Examples: `harness submit my-study`,
    `harness submit my-study --address http://head.example.org:8265 --home /shared/store`
    """
    file = find_study(study)
    loaded = load_study(file, profile=profile)
    store = open_store(home)
    _say_where(address)
    folder = (upload or Path.cwd()).absolute()
    arguments = _arguments(
        _inside(file.absolute(), folder) if upload else file.absolute(),
        home=store.address,
        reports=reports if upload else reports.absolute(),
        profile=profile,
        priority=priority,
        mirrors=mirror or (),
    )
    found = submit(
        store.location,
        arguments,
        address=address,
        study=loaded.name,
        profile=profile or "",
        folder=folder,
        is_sent=upload is not None,
    )
    if json:
        print_json({"id": found.id, "address": address, "study": loaded.name})
    else:
        sys.stdout.write(f"{found.id}\n")
        sys.stderr.write(f"follow it with: harness logs {found.id} -f\n")


def _say_where(address: str) -> None:
    if not is_loopback(address):
        sys.stderr.write(
            f"submitting to {address}, beyond this machine: whoever reaches that address can run "
            "commands there, and what is sent is not encrypted unless it is https\n"
        )


def _arguments(
    file: Path,
    *,
    home: str,
    reports: Path,
    profile: str | None,
    priority: int,
    mirrors: Iterable[Path],
) -> list[str]:
    """Return the arguments of the command that runs on the cluster."""
    found = ["run", str(file), "--address", "auto", "--home", home, "--reports", str(reports)]
    found += ["--profile", profile] if profile else []
    found += ["--priority", str(priority)] if priority else []
    for mirror in mirrors:
        found += ["--mirror", str(mirror.absolute())]
    return found


def _inside(file: Path, folder: Path) -> Path:
    """Return a file's path below the folder that is copied.

    Raises:
        HarnessError: If it is not below it.
    """
    try:
        return file.relative_to(folder)
    except ValueError:
        raise HarnessError(
            f"--upload {folder}: does not hold {file}", cure="give a folder that holds the study"
        ) from None
