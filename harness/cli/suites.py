"""Tables of suites, behind `harness tables --suite`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, cast, get_args

from harness.cli.options import words
from harness.errors import RecordError, did_you_mean

AverageKind = Literal["task", "type", "borda"]


def print_suite(
    folder: Path,
    suite: str | None,
    *,
    form: str,
    by: str | None,
    average: Sequence[str] | None,
    union: Sequence[str] | None,
    accept: Sequence[str],
    beside: Sequence[Path],
) -> None:
    """Print the table of a suite over the records in `folder`.

    Raises:
        RecordError: If no suite is named or it is unknown, or an option or a record is wrong.
    """
    if suite is None:
        raise RecordError(
            f"{folder} holds records of no study, so that no tasks are named to take a mean over",
            cure='name a suite: harness tables DIR --suite "MTEB(eng, v1)"',
        )
    from harness.records.bulk import TABLE_COLUMNS, read_frame
    from harness.records.facts import find_suite
    from harness.records.papers import read_paper
    from harness.report.sheet import sheet_of
    from harness.report.sheet_formats import FORMATS
    from harness.tables.papers import reference_rows
    from harness.tables.suite_table import build_suite_table

    table = build_suite_table(
        read_frame(folder, columns=TABLE_COLUMNS),
        find_suite(suite),
        by=_axis(by),
        averages=None if average is None else [_kind(word) for word in words(average)],
        union=None if union is None else words(union),
        accept=dict(_accepted(one) for one in accept),
    )
    references = [row for path in beside for row in reference_rows(read_paper(path), table)]
    sheet = sheet_of(table, references=references)
    sys.stdout.write(FORMATS[form](sheet))
    if form == "csv":
        for note in sheet.footnotes:
            sys.stderr.write(f"[{note.mark}] {note.text}\n")


def _axis(by: str | None) -> Literal["type", "task"]:
    if by not in {None, "type", "task"}:
        raise RecordError(
            f"--columns {by}: the table of a benchmark has none of these",
            cure="--columns type or --columns task",
        )
    return "task" if by == "task" else "type"


def _kind(word: str) -> AverageKind:
    for kind in get_args(AverageKind):
        if word == kind:
            return cast("AverageKind", word)
    raise RecordError(
        f"--average {word}: no such mean.{did_you_mean(word, get_args(AverageKind))}",
        cure=f"a list of {', '.join(get_args(AverageKind))}",
    )


def _accepted(text: str) -> tuple[str, str]:
    task, equals, split = text.partition("=")
    if not (task and equals and split):
        raise RecordError(f"--accept {text}: not TASK=SPLIT", cure="as in --accept MSMARCO=test")
    return task, split
