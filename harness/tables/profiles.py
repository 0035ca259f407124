"""What each row of a table scored on each query, seeds averaged.

Owns `Profiles`, which hands out differences between rows query by query. The rule: it answers only for
tasks with real queries and for rows that have all of them; repeated experiments say nothing about other
test texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.records.summary import RowSummary
from harness.tables.queries import QueryScores

if TYPE_CHECKING:
    from harness.tables.queries import FloatArray, IntArray


class Profiles:
    """Per-query scores by row label and task.

    Args:
        rows: The rows of the study.
        queries: Their per-query scores.
    """

    def __init__(self, rows: Sequence[RowSummary], queries: QueryScores) -> None:
        self._rows = {row.label: row for row in rows}
        self._queries = queries
        self._found: dict[tuple[str, str, str, str], tuple[IntArray, FloatArray] | None] = {}

    def differences(
        self, pairs: Sequence[tuple[str, str]], *, suite: str, task: str, metric: str
    ) -> FloatArray | None:
        """Return the mean over pairs of rows of second minus first, [n] by query; None if any lacks one.

        Args:
            pairs: Labels of the rows.
            suite: The suite.
            task: The task.
            metric: Its main metric.
        """
        total: FloatArray | None = None
        keys = b""
        for pair in pairs:
            first, second = (self._profile(label, suite, task, metric) for label in pair)
            if first is None or second is None:
                return None
            if keys == b"":
                keys = first[0].tobytes()
            if first[0].tobytes() != keys or second[0].tobytes() != keys:
                return None
            difference = second[1] - first[1]
            total = difference if total is None else total + difference
        return None if total is None else total / len(pairs)

    def _profile(
        self, label: str, suite: str, task: str, metric: str
    ) -> tuple[IntArray, FloatArray] | None:
        place = (label, suite, task, metric)
        if place not in self._found:
            row = self._rows.get(label)
            found = None
            if row is not None:
                found = self._queries.matrix(row.members, suite=suite, task=task, metric=metric)
            self._found[place] = None
            if found is not None and found[0].unit == "query":
                self._found[place] = (found[0].keys, found[1].mean(axis=0))
        return self._found[place]
