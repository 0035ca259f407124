"""`harness import`: results that were made elsewhere, as records."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.locate import IMPORTS
from harness.cli.options import HomeOption, JsonOption, print_json

FolderArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="A folder of result files, or of run files with qrels.")
]
NameOption = Annotated[
    str | None,
    typer.Option(
        "--as", metavar="NAME", help="Name of the import. Default: the folder above the models."
    ),
]
ToOption = Annotated[
    Path | None,
    typer.Option("--to", metavar="DIR", help="Where the records go. Default: in the store, by name."),
]
QrelsOption = Annotated[
    Path | None,
    typer.Option("--qrels", metavar="PATH", help="Judgements of run files, or a folder of them."),
]
ReplaceOption = Annotated[
    bool, typer.Option("--replace", help="Take the new value where a file's number has changed.")
]


def command(
    folder: FolderArgument,
    as_: NameOption = None,
    to: ToOption = None,
    qrels: QrelsOption = None,
    replace: ReplaceOption = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Read result files into records: mteb's, of any age, or TREC and BEIR runs with their judgements.

    Nothing is guessed: what a file lacks becomes a record with a named state. Importing the same folder
    again changes nothing, and needs neither mteb nor a network.

    Examples: `harness import results --to records`, `harness import runs --qrels qrels --as bm25`
    """
    from harness.records.importing import store_records
    from harness.records.reading import read_folder

    if to is None and home is not None:
        from harness.execution.homes import check_folder

        check_folder(home, verb="import", cure="--to FOLDER")
    read = read_folder(folder, name=as_, qrels=qrels)
    target = to or (home or Path(".harness")) / IMPORTS / read.name
    done = store_records(
        read.records,
        target,
        per_query=read.per_query,
        num_files=read.num_files,
        is_replacing=replace,
        report=lambda line: print(line, file=sys.stderr),  # noqa: T201
    )
    states = Counter(record.state for record in read.records)
    if json:
        print_json(
            {
                "to": str(target),
                "num_files": read.num_files,
                "num_records": len(done.records),
                "num_new": done.num_new,
                "gone": list(done.gone),
                "states": dict(states),
            }
        )
        return
    for record in read.records:
        if record.state != "ok":
            sys.stderr.write(f"{record.state}: {record.reason}\n")
    sys.stderr.write(
        f"{read.num_files} files, {len(read.records)} records "
        f"({states['ok']} with a value), {done.num_new} new\n"
    )
    sys.stdout.write(f"{target}\n")
