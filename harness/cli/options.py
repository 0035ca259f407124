"""Arguments and options that several verbs share, declared once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

StudyArgument = Annotated[
    str, typer.Argument(metavar="STUDY", help="A YAML file, or the name of one in ablations/.")
]
ProfileOption = Annotated[
    str | None, typer.Option("--profile", metavar="NAME", help="Apply a profile of the study.")
]
HomeOption = Annotated[
    Path | None,
    typer.Option("--home", envvar="HARNESS_HOME", help="The store's folder. Default: .harness"),
]
MirrorOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--mirror",
        metavar="DIR",
        envvar="HARNESS_MIRROR",
        help="Read datasets and models from DIR/<org>/<name>, never from the network. May be repeated.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


def print_json(value: Any) -> None:
    """Print one JSON object on stdout."""
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
