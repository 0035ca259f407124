"""The table of a suite: one line a model and revision, its types or its tasks, and their means.

Owns the means over tasks and over types, Borda ranks, coverage, and the footnotes. The rule: no mean is
taken over what is not all there, and every blank is named with its state and its file. Numbers are
rounded by `format` when they are shown; layout is left to `harness.report`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from harness.records.facts import Suite
from harness.tables.suite_cells import list_wanted
from harness.tables.suite_gaps import Gap, find_gaps
from harness.tables.suite_notes import describe_rows
from harness.tables.suite_scores import Floats, score_suite
from harness.tables.suite_union import Union, unite

if TYPE_CHECKING:
    import pandas as pd

ColumnsBy = Literal["type", "task"]
AverageKind = Literal["task", "type", "borda"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteColumn:
    """One column of numbers."""

    name: str
    kind: Literal["task", "type", "average", "type_average", "borda"]
    tasks: tuple[int, ...]
    """Indices of the suite's tasks that the column is made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteRow:
    """One model and revision."""

    model: str
    revision: str
    values: tuple[float | None, ...]
    """One a column: points between -1 and 1 for scores, a rank for Borda; None where it is blank."""
    num_complete: int
    num_tasks: int
    gaps: tuple[Gap, ...] = ()
    footnotes: tuple[str, ...] = ()
    """What is to be said of the row, in full sentences."""
    is_printed: bool = False
    """Whether the row stands in a paper, which may print means without the scores behind them."""

    @property
    def coverage(self) -> str:
        """Return `k/n`: how many of the suite's tasks are there; `printed` for means alone."""
        if self.is_printed and not self.num_complete:
            return "printed"
        return f"{self.num_complete}/{self.num_tasks}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteTable:
    """A whole table, ready to be laid out."""

    suite: Suite
    columns: tuple[SuiteColumn, ...]
    rows: tuple[SuiteRow, ...]
    notes: tuple[str, ...]
    """How to read the table."""


def build_suite_table(
    frame: pd.DataFrame,
    suite: Suite,
    *,
    by: ColumnsBy = "type",
    averages: Sequence[AverageKind] | None = None,
    union: Sequence[str] | None = None,
    accept: Mapping[str, str] | None = None,
) -> SuiteTable:
    """Return the table of a suite over records.

    Args:
        frame: Records as `harness.records.bulk.read_frame` gives them.
        suite: The tasks and what counts of them.
        by: A column for each task type, or for each task.
        averages: Means to append: over tasks, over types' means, rank by Borda count. By default those
            of the suite; for a suite of printed tables, the mean over tasks alone.
        union: Make one line a model, from its revisions in this order of preference.
        accept: Task -> a split that may stand for the task's own.

    Raises:
        RecordError: If `accept` or `union` cannot be followed.
    """
    scores = score_suite(frame, list_wanted(suite, accept=accept))
    gaps = find_gaps(scores)
    united: Union | None = None
    if union is not None:
        united = unite(scores, gaps, preference=union)
        scores, gaps = united.scores, united.gaps
    columns = _columns(suite, by, default_averages(suite) if averages is None else averages)
    grid = [[_value(column, values, suite) for column in columns] for values in scores.values]
    for index, column in enumerate(columns):
        if column.kind == "borda":
            for row, rank in zip(grid, borda_ranks(scores.values), strict=True):
                row[index] = rank
    told = describe_rows(scores, gaps, united=united)
    rows = []
    for index, key in enumerate(scores.rows):
        own = tuple(gaps[index, task] for task in range(len(suite.tasks)) if (index, task) in gaps)
        rows.append(
            SuiteRow(
                model=key.model,
                revision=key.revision,
                values=tuple(grid[index]),
                num_complete=len(suite.tasks) - len(own),
                num_tasks=len(suite.tasks),
                gaps=own,
                footnotes=told[index],
            )
        )
    return SuiteTable(suite=suite, columns=columns, rows=tuple(rows), notes=_notes(suite, columns))


def to_frame(table: SuiteTable) -> pd.DataFrame:
    """Return a table's numbers, not rounded, indexed by model and revision; NaN for a blank.

    Scores are in points. The last columns are the tasks that are there and those that were asked for.
    """
    import pandas as pd

    scales = [1.0 if column.kind == "borda" else 100.0 for column in table.columns]
    lines = [
        [
            *(
                math.nan if value is None else scale * value
                for value, scale in zip(row.values, scales, strict=True)
            ),
            row.num_complete,
            row.num_tasks,
        ]
        for row in table.rows
    ]
    keys = [(row.model, row.revision) for row in table.rows]
    names = [*(column.name for column in table.columns), "num_complete", "num_tasks"]
    index = pd.MultiIndex.from_tuples(keys, names=["model", "revision"])
    return pd.DataFrame(lines, columns=names, index=index)


def default_averages(suite: Suite) -> tuple[AverageKind, ...]:
    """Return the means that a suite's tables print: those of mteb, or the published one alone."""
    if suite.convention == "published":
        return ("task",)
    kinds: tuple[AverageKind, ...] = ("task", "type")
    return tuple(kind for kind in kinds if kind in suite.averages)


def borda_ranks(values: Floats) -> list[float | None]:
    """Return each row's place by Borda count over the tasks; 1 is best, equals share the better place.

    On each task a row gets as many points as there are rows behind it, equals sharing theirs, as in
    mteb; a row that lacks a task has no rank, and does not count for the others' ranks.

    Args:
        values: Rows by tasks; NaN where there is no value.
    """
    whole = ~np.asarray(np.isnan(values).any(axis=1))
    kept = values[whole]
    below = (kept[:, None, :] > kept[None, :, :]).sum(axis=(1, 2))
    equal = (kept[:, None, :] == kept[None, :, :]).sum(axis=(1, 2)) - kept.shape[1]
    points = 2 * below + equal  # twice the count, so that shared points stay whole numbers
    ranks = iter([1 + int((points > own).sum()) for own in points])
    return [next(ranks) if one else None for one in whole.tolist()]


def _columns(suite: Suite, by: ColumnsBy, averages: Sequence[AverageKind]) -> tuple[SuiteColumn, ...]:
    everything = tuple(range(len(suite.tasks)))
    columns = []
    if by == "task":
        order = sorted(everything, key=lambda one: (suite.tasks[one].task_type, suite.tasks[one].name))
        columns += [SuiteColumn(name=suite.tasks[one].name, kind="task", tasks=(one,)) for one in order]
    else:
        for task_type in suite.types:
            own = tuple(one for one in everything if suite.tasks[one].task_type == task_type)
            columns.append(SuiteColumn(name=task_type, kind="type", tasks=own))
    kinds: dict[AverageKind, SuiteColumn] = {
        "task": SuiteColumn(name="Average", kind="average", tasks=everything),
        "type": SuiteColumn(name="AverageOfTypes", kind="type_average", tasks=everything),
        "borda": SuiteColumn(name="BordaRank", kind="borda", tasks=everything),
    }
    return (*columns, *(kinds[kind] for kind in averages))


def _value(column: SuiteColumn, values: Floats, suite: Suite) -> float | None:
    kept = [float(values[task]) for task in column.tasks]
    if column.kind == "borda" or any(math.isnan(one) for one in kept):
        return None
    if column.kind != "type_average":
        return mean(kept)
    by_type: dict[str, list[float]] = {}
    for task, value in zip(column.tasks, kept, strict=True):
        by_type.setdefault(suite.tasks[task].task_type, []).append(value)
    return mean([mean(own) for own in by_type.values()])


def mean(values: Sequence[float]) -> float:
    """Return the unweighted mean; the sum is exact, so that no order of the values moves it."""
    return math.fsum(values) / len(values)


def _notes(suite: Suite, columns: Sequence[SuiteColumn]) -> tuple[str, ...]:
    kinds = {column.kind for column in columns}
    metrics = {
        "published": "The metrics are those of the printed tables: cosine average precision for pairs, "
        "mteb's main score for all others.",
        "recorded": "Each score is the main score that the result file records.",
    }
    notes = ["Scores are in points: 100 times the metric.", metrics[suite.convention]]
    if "average" in kinds:
        notes.append(f"Average: unweighted, over the {len(suite.tasks)} tasks.")
    if "type_average" in kinds:
        notes.append(f"AverageOfTypes: unweighted, over the means of the {len(suite.types)} task types.")
    if "borda" in kinds:
        notes.append(
            "BordaRank: place by Borda count over the tasks among the complete rows; 1 is best."
        )
    notes.append("A mean is blank unless all its tasks are there.")
    return tuple(notes)
