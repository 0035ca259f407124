"""The rows that can be compared, from studies and from plain folders of records.

Owns `Side`, one row with all that a comparison needs, and how a row is named: by its label, by the
slug of one of its models, or either with a seed. The rule: a name means one row; one that fits none is
answered with the nearest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.errors import RecordError, did_you_mean
from harness.records.schema import Record
from harness.records.summary import Member, RowSummary, StudySummary, SuiteSummary
from harness.tables.aggregate import Score
from harness.tables.scores import Scores


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One row to compare."""

    name: str
    members: tuple[Member, ...]
    scores: Mapping[str, Score]
    """Task -> what the row scored on it; of a task in two suites, the first one that is whole."""
    config: Mapping[str, str]
    """Resolved configuration; empty where none was recorded."""
    source: int = 0
    """Which source of the per-query scores is the row's."""


def find_row(summary: StudySummary, name: str, *, seed: int | None = None) -> RowSummary | None:
    """Return the row with this label or slug, cut down to one model where a slug or a seed asks for it.

    Spaces and case do not matter in labels. None where nothing fits.
    """
    for row in summary.rows:
        members = row.members
        if _plain(row.label) != _plain(name):
            members = tuple(member for member in members if member.slug == name)
        if seed is not None:
            members = tuple(member for member in members if member.seed == seed)
        if members:
            return replace(row, members=members)
    return None


def names_of(summary: StudySummary) -> list[str]:
    """Return every name that `find_row` takes: labels first, then slugs."""
    labels = [row.label for row in summary.rows]
    slugs = [member.slug for row in summary.rows for member in row.members]
    return list(dict.fromkeys([*labels, *slugs]))


def refuse_name(summary: StudySummary, name: str, *, where: str) -> RecordError:
    """Return the error for a name that fits no row."""
    known = names_of(summary)
    return RecordError(
        f"{where}: no row {name!r}.{did_you_mean(name, known)}",
        cure=f"rows: {'; '.join(row.label for row in summary.rows)}",
    )


def side_of(
    summary: StudySummary,
    records: Sequence[Record],
    row: RowSummary,
    *,
    name: str = "",
    source: int = 0,
) -> Side:
    """Return a row of a study as a side of a comparison.

    Args:
        summary: The study.
        records: Its records.
        row: One of its rows, maybe with some of its members only.
        name: What to call it; its label if empty.
        source: Place of the study among the sources of the per-query scores.

    Raises:
        RecordError: If the records do not fit the summary.
    """
    rows = [row if one.label == row.label else one for one in summary.rows]
    found = Scores(replace(summary, rows=tuple(rows)), records)
    place = [one.label for one in rows].index(row.label)
    scores: dict[str, Score] = {}
    for suite in summary.suites:
        for task in suite.tasks:
            score = found.score(place, (suite.name, task))
            if task not in scores or (scores[task].state != "ok" and score.state == "ok"):
                scores[task] = score
    return Side(
        name=name or row.label,
        members=row.members,
        scores=scores,
        config=summary.resolved(row),
        source=source,
    )


def summarise_folder(name: str, records: Sequence[Record]) -> StudySummary:
    """Return a summary for records that came without one: a row a model, the suites as they are.

    A model that is there in several revisions has a row for each, called `model@revision`.
    """
    revisions: dict[str, set[str]] = {}
    for record in records:
        revisions.setdefault(record.variant, set()).add(record.revision)
    rows: dict[str, dict[int | None, Member]] = {}
    suites: dict[str, dict[str, None]] = {}
    evaluators: dict[str, str] = {}
    for record in records:
        label = record.variant
        if len(revisions[label]) > 1:
            label += f"@{record.revision}"
        member = Member(slug=record.variant, revision=record.revision, seed=record.seed)
        rows.setdefault(label, {})[record.seed] = member
        suites.setdefault(record.suite, {})[record.task] = None
        evaluators.setdefault(record.suite, record.evaluator.partition(" ")[0])
    return StudySummary(
        name=name,
        question="",
        factors={},
        baseline=None,
        rows=tuple(
            RowSummary(label=label, levels={}, members=tuple(members.values()))
            for label, members in rows.items()
        ),
        suites=tuple(
            SuiteSummary(name=suite, evaluator=evaluators[suite], tasks=tuple(tasks))
            for suite, tasks in suites.items()
        ),
    )


def _plain(label: str) -> str:
    return "".join(label.split()).casefold()
