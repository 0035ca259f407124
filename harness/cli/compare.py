"""`harness compare`: two rows, task by task and field by field."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from harness.cli.locate import (
    RECORDS_NAME,
    RESULTS,
    has_records,
    load_records,
    locate_records,
    published,
    stored_studies,
)
from harness.cli.options import HomeOption, JsonOption
from harness.errors import RecordError

if TYPE_CHECKING:
    from harness.records.store import MergedRecords
    from harness.records.summary import RowSummary, StudySummary

SEPARATOR = "::"

_ROW_HELP = "A row's label or a model's slug; STUDY::ROW, ROW::SEED or STUDY::ROW::SEED to be exact."
_First = Annotated[str, typer.Argument(metavar="A", help=_ROW_HELP)]
_Second = Annotated[str, typer.Argument(metavar="B", help="Another one, named in the same way.")]


@dataclass(frozen=True, slots=True)
class _Name:
    """A row as the user names it."""

    row: str
    study: str = ""
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    """A row, and the records that it lies in."""

    folder: Path
    summary: StudySummary
    records: MergedRecords
    row: RowSummary


def command(
    first: _First,
    second: _Second,
    study: Annotated[
        str, typer.Option("--study", "-s", metavar="STUDY", help="Where rows named without one are.")
    ] = "",
    format_: Annotated[
        Literal["md", "csv", "tex", "json", "html"],
        typer.Option("--format", "-f", help="Markdown, CSV, LaTeX, JSON or HTML."),
    ] = "md",
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Say how B differs from A: by task with interval and mark, over all tasks, and in which fields.

    STUDY may be a name, a YAML file, a folder of a study, or any folder with a records.jsonl, such as
    published results; so two runs of one variant are compared as FOLDER::ROW and OTHER::ROW.

    Examples: `harness compare untrained "reconstruction=on" -s quickstart`,
    `harness compare results/published::e5-mistral quickstart::reconstruction=on`
    """
    from harness.report.comparison import render_comparison
    from harness.tables.compare import compare
    from harness.tables.queries import read_queries
    from harness.tables.sides import side_of

    names = [_parse(text, study) for text in (first, second)]
    found = _find(names, home=home)
    queries = read_queries(*(one.folder for one in found))
    labels = [_label(one, name) for one, name in zip(found, names, strict=True)]
    if labels[0] == labels[1]:
        labels = [f"{one.folder}: {label}" for one, label in zip(found, labels, strict=True)]
    sides = [
        side_of(one.summary, one.records, one.row, name=label, source=place)
        for place, (one, label) in enumerate(zip(found, labels, strict=True))
    ]
    comparison = compare(sides[0], sides[1], queries=queries)
    sys.stdout.write(render_comparison(comparison, "json" if json else format_))


def _parse(text: str, study: str) -> _Name:
    parts = text.split(SEPARATOR)
    seed = int(parts.pop()) if len(parts) > 1 and parts[-1].isdecimal() else None
    if len(parts) == 1:
        return _Name(parts[0], study, seed)
    if len(parts) == 2 and all(parts):
        return _Name(parts[1], parts[0], seed)
    raise RecordError(
        f"{text!r} names no row", cure="write ROW, STUDY::ROW, ROW::SEED or STUDY::ROW::SEED"
    )


def _label(found: _Found, name: _Name) -> str:
    label = found.row.label
    if name.row != label and any(member.slug == name.row for member in found.row.members):
        label = name.row
    return label if name.seed is None else f"{label}, seed {name.seed}"


def _find(names: list[_Name], *, home: Path | None) -> list[_Found]:
    """Return the row of each name; rows named without a study are looked for in all of them.

    Raises:
        RecordError: If a name fits no row, or rows of several studies.
    """
    candidates = [_candidates(name, home=home) for name in names]
    # Two names without a study most likely mean rows of one study.
    common = {one.folder for one in candidates[0]} & {one.folder for one in candidates[1]}
    result = []
    for name, rows in zip(names, candidates, strict=True):
        chosen = rows
        if len(chosen) > 1 and common:
            chosen = [one for one in rows if one.folder in common]
        if len(chosen) > 1:
            folders = ", ".join(str(one.folder) for one in chosen)
            raise RecordError(
                f"{name.row!r} is a row of several studies: {folders}",
                cure=f"say which: STUDY{SEPARATOR}{name.row}, or --study STUDY",
            )
        result.append(chosen[0])
    return result


def _candidates(name: _Name, *, home: Path | None) -> list[_Found]:
    from harness.tables.sides import find_row, refuse_name

    if name.study:
        folder, summary, records = _load(name.study, home=home)
        row = find_row(summary, name.row, seed=name.seed)
        if row is None:
            raise refuse_name(summary, name.row, where=str(folder))
        return [_Found(folder, summary, records, row)]
    found: list[_Found] = []
    roots = (stored_studies(home), RESULTS)
    folders = [folder for root in roots for folder in published(root)]
    for folder in folders:
        summary, records = load_records(folder)
        row = find_row(summary, name.row, seed=name.seed)
        if row is not None and folder.name not in {one.folder.name for one in found}:
            found.append(_Found(folder, summary, records, row))
    if not found:
        searched = ", ".join(str(folder) for folder in folders) or "no study"
        raise RecordError(
            f"no row {name.row!r} in {searched}",
            cure=f"name its study: STUDY{SEPARATOR}{name.row}; `harness tables STUDY` lists rows",
        )
    return found


def _load(study: str, *, home: Path | None) -> tuple[Path, StudySummary, MergedRecords]:
    from harness.records.store import read_records
    from harness.tables.sides import summarise_folder

    folder = Path(study)
    if (folder / RECORDS_NAME).is_file() and not has_records(folder):
        records = read_records(folder / RECORDS_NAME)
        return folder, summarise_folder(folder.name, records), records
    folder = locate_records(study, home=home)
    return (folder, *load_records(folder))
