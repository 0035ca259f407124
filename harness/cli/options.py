"""Arguments and options that several verbs share, declared once."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

StudyArgument = Annotated[
    str, typer.Argument(metavar="STUDY", help="A YAML file, or the name of one in ablations/.")
]
ProfileOption = Annotated[
    str | None, typer.Option("--profile", metavar="NAME", help="Apply a profile of the study.")
]
HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        envvar="HARNESS_HOME",
        help="The store: a folder, or s3://BUCKET/PREFIX. Default: .harness",
    ),
]
MirrorOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--mirror",
        metavar="DIR",
        envvar="HARNESS_MIRROR",
        help="Read datasets and models from DIR/ORG/NAME, never from the network. May be repeated.",
    ),
]
BackendName = Literal["ray", "processes", "in-process"]
BackendOption = Annotated[
    BackendName,
    typer.Option(help="Where steps run: on Ray, in processes of this machine, or one by one here."),
]
AddressOption = Annotated[
    str,
    typer.Option(envvar="RAY_ADDRESS", help="Ray cluster to join; a local one is started if empty."),
]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Processor cores of this machine to use. Default: all.")
]
PriorityOption = Annotated[
    int,
    typer.Option(
        "--priority",
        help="Runs of higher priority on the same store get room first; the others wait meanwhile.",
    ),
]
ReportsOption = Annotated[Path, typer.Option(help="Folder under which the study's page is written.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


def words(texts: Sequence[str] | None) -> tuple[str, ...]:
    """Return the words of an option that takes `A,B` and may be repeated, each once, in their order."""
    found = (word.strip() for text in texts or () for word in text.split(","))
    return tuple(dict.fromkeys(word for word in found if word))


def print_json(value: Any) -> None:
    """Print one JSON object on stdout."""
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
