"""`harness synthesize`: training data written by a language model."""

from __future__ import annotations

import json as _json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from harness.cli.options import JsonOption, print_json
from harness.execution.homes import check_folder, default_home
from harness.execution.journal import utc_now

if TYPE_CHECKING:
    from harness.synthesis.backend import Backend
    from harness.synthesis.forecast import Line
    from harness.synthesis.load import Specification

_SERVER = ".server.json"
"""What the backend said of itself when the folder's last answers came."""


def command(
    specification: Annotated[
        str, typer.Argument(metavar="SPEC", help="A YAML file, or the name of one in synthesis/.")
    ],
    profile: Annotated[
        str | None, typer.Option("--profile", metavar="NAME", help="Apply a profile of the file.")
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="DIR", help="Folder of the result. Default: in the store."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Forecast requests, tokens and money; ask nothing.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Have a language model write training data, by the two-step method of E5-mistral.

    The result is a folder: data.jsonl for a study's `sources`, provenance.json, drops.jsonl with a
    reason for every draw that is not in the data, and statistics.html. After a kill, or with a larger
    `size`, the same command goes on; answers on disk are never asked again. `harness status` shows it
    while it runs, and `harness cancel NAME-synthesis` ends it. Exit code 1: stopped before all examples
    were there.

    Example: `harness synthesize two-step --dry-run`, `harness synthesize my-data.yaml --to data/mine`
    """
    from harness.synthesis.load import find_specification, load_specification

    wanted = load_specification(find_specification(specification), profile=profile)
    if dry_run:
        _show_forecast(wanted, json=json)
        return
    if to is None:
        check_folder(default_home(), verb="synthesize", cure="--to FOLDER")
    folder = to or default_home() / "synthesis" / wanted.name
    provenance = _run(wanted, folder)
    if json:
        print_json({"folder": str(folder), **provenance})
    else:
        _show_result(provenance, folder)
    if not provenance["complete"]:
        raise typer.Exit(1)


def _run(wanted: Specification, folder: Path) -> dict[str, Any]:
    from harness.execution.lone_run import LoneRun
    from harness.identity.replacing import replace_file
    from harness.report.synthesis_page import render_synthesis
    from harness.synthesis.generate import generate
    from harness.synthesis.publish import publish
    from harness.synthesis.similarity import Similarity
    from harness.synthesis.statistics import count

    gate = wanted.document.gates.embedder
    similarity = Similarity.load(gate, folder=wanted.path.parent) if gate else None
    backend = _open(wanted, folder)
    seen = LoneRun(
        default_home(), name=f"{wanted.name}-synthesis", stage="synthesis", label=str(folder.absolute())
    )
    with (
        seen as run,
        Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        ) as bar,
    ):
        task = bar.add_task("tasks", total=None)

        def show(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)
            run.report(f"{what}: {done} of {total}")

        result = generate(wanted, backend, folder, similarity=similarity, progress=show)
    server = dict(backend.describe())
    replace_file(folder / _SERVER, lambda path: _write(path, _json.dumps(server)))
    counted = count(wanted, result)
    provenance = publish(wanted, result, counted, folder, backend=server, date=utc_now())
    page = render_synthesis(provenance)
    replace_file(folder / "statistics.html", lambda path: _write(path, page))
    return provenance


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _open(wanted: Specification, folder: Path) -> Backend:
    from harness.synthesis.document import OpenAIBackend

    document = wanted.document
    settings = document.backend
    if isinstance(settings, OpenAIBackend):
        from harness.synthesis.openai_backend import OpenAIServer

        return OpenAIServer(settings, document.limits, structure=_found_structure(folder))
    sys.stderr.write("loading the model\n")
    from harness.synthesis.local_backend import LocalModel

    place = wanted.path.parent
    return LocalModel.load(
        settings, folder=place, mirrors=[(place / mirror).resolve() for mirror in document.mirrors]
    )


def _found_structure(folder: Path) -> Any:
    """Return the way of asking for JSON that an earlier run in the folder found."""
    if not (folder / _SERVER).is_file():
        return None
    return _json.loads((folder / _SERVER).read_text(encoding="utf-8")).get("structure")


def _show_forecast(wanted: Specification, *, json: bool) -> None:
    from harness.synthesis.forecast import forecast

    lines = forecast(wanted)
    spending = wanted.document.spending
    if json:
        cap = None if spending is None else spending.cap
        print_json({"name": wanted.name, "lines": [asdict(line) for line in lines], "cap": cap})
        return
    _print(_forecast_table(lines, with_money=spending is not None))
    if spending is not None:
        sys.stdout.write(f"The cap is {spending.cap:g}: nothing is sent that could pass it.\n")
    sys.stdout.write(
        "Likely: one request an example, 1.5 tokens a word. Most: every request of `max_requests`, as "
        "long as `max_tokens` allows.\n"
    )


def _forecast_table(lines: list[Line], *, with_money: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("step")
    headings = ["requests", "input tokens", "output tokens", "most output tokens"]
    for heading in [*headings, *(["likely cost", "most cost"] if with_money else [])]:
        table.add_column(heading, justify="right")
    for line in lines:
        numbers = [line.requests, line.input_tokens, line.output_tokens, line.most_output_tokens]
        money = [f"{line.cost:,.2f}", f"{line.most_cost:,.2f}"] if with_money else []
        table.add_row(line.name, *(f"{number:,}" for number in numbers), *money)
    return table


def _show_result(provenance: dict[str, Any], folder: Path) -> None:
    counts, books = provenance["counts"], provenance["books"]
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("kind")
    for heading in ("draws", "kept", "dropped"):
        table.add_column(heading, justify="right")
    table.add_column("reasons")
    for kind, part in [*counts["kinds"].items(), ("all", counts)]:
        reasons = ", ".join(f"{reason} {number}" for reason, number in part["reasons"].items())
        table.add_row(kind, *(str(part[name]) for name in ("draws", "kept", "dropped")), reasons)
    _print(table)
    spoken = [code for code, part in counts["languages"].items() if part["kept"]]
    sys.stdout.write(f"{counts['kept']} examples in {len(spoken)} languages: {folder / 'data.jsonl'}\n")
    sys.stdout.write(", ".join(f"{name} {number:g}" for name, number in books.items()) + "\n")
    if provenance["stopped"]:
        sys.stderr.write(f"not all that was wanted: {provenance['stopped']}; run again to go on\n")


def _print(table: Table) -> None:
    (Console() if sys.stdout.isatty() else Console(width=160)).print(table)
