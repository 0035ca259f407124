"""What each row of a study scored on each of its tasks.

Owns `Scores`: which records belong to which row, seed and task. The rule: a score is what `aggregate`
makes of its records; where there is one record and all of a task is in it, that is its value, and no
object is made of it. A thousand variants have a hundred thousand scores, and a table needs the story
behind a few of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

from harness.errors import RecordError
from harness.records.schema import Record
from harness.records.summary import RowSummary, StudySummary
from harness.tables.aggregate import Measurement, Score, TaskKey, is_current, measure
from harness.tables.ways import Ways

_Model = tuple[str, int | None]
"""Slug and seed."""
_Line = list[tuple[Record, ...]]
"""The records of a model, task by task."""


class Scores:
    """The scores of a study, by row and task.

    Only main scores are looked at. A task counts as measured when it has every split and subset that
    any row of the study has for it.

    Args:
        summary: The study.
        records: Its records, each key once.

    Attributes:
        rows: The study's rows.
        tasks: Suite and task of all tasks.
        spans: Where the members of each row are, in lists of one item a member.

    Raises:
        RecordError: If two rows use different main metrics for one task, or a row lists a seed twice.
    """

    def __init__(self, summary: StudySummary, records: Iterable[Record]) -> None:
        self.rows = summary.rows
        self.tasks: tuple[TaskKey, ...] = tuple(
            dict.fromkeys((suite.name, task) for suite in summary.suites for task in suite.tasks)
        )
        self._place = {task: place for place, task in enumerate(self.tasks)}
        self._command = f"harness run {summary.name}"
        for row in self.rows:
            _check_seeds(row)
        self._members = [member for row in self.rows for member in row.members]
        ends = list(itertools.accumulate((len(row.members) for row in self.rows), initial=0))
        self.spans = [range(*span) for span in itertools.pairwise(ends)]
        self._parts: list[set[tuple[str, str]]] = [set() for _ in self.tasks]
        models: dict[_Model, _Line] = {
            (member.slug, member.seed): [()] * len(self.tasks) for member in self._members
        }
        self._sort(records, models)
        self._lines = [models[member.slug, member.seed] for member in self._members]
        self._odd: list[dict[int, Measurement]] = [{} for _ in self.tasks]
        self._ways = [Ways() for _ in self.tasks]
        self._values = [self._measure(number) for number in range(len(self._members))]

    def values(self, row: int) -> dict[TaskKey, tuple[float | None, ...]]:
        """Return a row's values by task, one a member; None where a member has none."""
        by_place = zip(*[self._values[member] for member in self.spans[row]], strict=True)
        return dict(zip(self.tasks, by_place, strict=False))

    def score(self, row: int, task: TaskKey) -> Score:
        """Return all there is to say of a row on a task."""
        place = self._place[task]
        return Score(measurements=tuple(self._measurement(member, place) for member in self.spans[row]))

    def ways(self, task: TaskKey) -> Ways:
        """Return how the members were measured on a task."""
        return self._ways[self._place[task]]

    def is_share(self, task: TaskKey) -> bool:
        """Return whether all that was measured on a task lies between -1 and 1."""
        place = self._place[task]
        values = [line[place] for line in self._values]
        parts = [one.value for odd in self._odd[place].values() for one in odd.records]
        return all(value is None or -1 <= value <= 1 for value in (*values, *parts))

    def _sort(self, records: Iterable[Record], models: Mapping[_Model, _Line]) -> None:
        """Put each record where it belongs."""
        slugs = {slug for slug, _ in models}
        examples: dict[int, Record] = {}
        model: _Model = ("", None)
        line: _Line | None = None
        for record in records:
            place = self._place.get((record.suite, record.task))
            if place is None or not record.is_main or record.variant not in slugs:
                continue
            if model != (record.variant, record.seed):
                model = (record.variant, record.seed)
                line = models.get(model)
            if line is not None:
                line[place] = (*line[place], record)
            if record.state == "ok":
                example = examples.setdefault(place, record)
                if example is record or not _is_of_part(record, example):
                    self._parts[place].add((record.split, record.subset))
                if example.metric != record.metric:
                    raise RecordError(
                        f"{record.suite}/{record.task} has two main metrics: "
                        f"{example.metric} and {record.metric} ({record.variant})",
                        cure="mark one of them with is_main=false",
                    )

    def _measure(self, number: int) -> list[float | None]:
        """Return the value of a member on each task; how those came about that are not plain is kept."""
        member = self._members[number]
        values: list[float | None] = []
        for place, (records, parts) in enumerate(zip(self._lines[number], self._parts, strict=True)):
            value = None
            if len(records) == len(parts) == 1 and is_current(records[0], member):
                value = records[0].value
            if value is not None:
                values.append(float(value))
                self._ways[place].add(records)
                continue
            found = measure(member, records, parts=parts, command=self._command)
            self._odd[place][number] = found
            values.append(found.value)
            self._ways[place].add(found.records)
        return values

    def _measurement(self, number: int, place: int) -> Measurement:
        odd = self._odd[place].get(number)
        if odd is not None:
            return odd
        return Measurement(
            seed=self._members[number].seed,
            value=self._values[number][place],
            records=self._lines[number][place],
        )


def _is_of_part(record: Record, other: Record) -> bool:
    return record.split == other.split and record.subset == other.subset


def _check_seeds(row: RowSummary) -> None:
    seeds = [member.seed for member in row.members]
    if len(set(seeds)) != len(seeds):
        raise RecordError(
            f"row {row.label!r} lists a seed twice: {seeds}", cure="give each member its own"
        )
