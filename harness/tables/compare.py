"""Two rows side by side: task by task, over all tasks, and field by field.

Owns `compare`. The rule: what is compared was measured with the same metric on the same task, and what
else differs between the two, in measuring or in making, is named beside the numbers. Seeds are paired
where both sides share them; one model stands against each seed of the other side; two sides with
several seeds and none in common are compared as the models at hand. Where rows come from is left to
`sides`, tests to `levels` and `over_tasks`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.records.schema import Record
from harness.tables.aggregate import Score
from harness.tables.comparable import differing_facts
from harness.tables.families import correct
from harness.tables.levels import Inference, over_both, over_queries, over_seeds
from harness.tables.over_tasks import TaskSummary, summarise_tasks
from harness.tables.queries import QueryScores
from harness.tables.sides import Side

if TYPE_CHECKING:
    from harness.tables.queries import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskComparison:
    """What both sides scored on one task, before scaling."""

    task: str
    metric: str = ""
    higher_is_better: bool = True
    scale: int = 100
    """Values are multiplied by this when shown."""
    first: float | None = None
    second: float | None = None
    difference: float | None = None
    """Second minus first, over shared seeds; None where one side has no value."""
    inference: Inference | None = None
    """None where there are neither seeds nor per-query scores to test with."""
    reason: str = ""
    """Why there is no difference."""
    unlike: tuple[str, ...] = ()
    """In what the two were not measured in the same way."""

    @property
    def gain(self) -> float | None:
        """Return the difference, positive where the second side is better."""
        if self.difference is None:
            return None
        return self.difference if self.higher_is_better else -self.difference


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldDifference:
    """One field of the configuration in which the sides differ; None where a side has no such field."""

    field: str
    first: str | None
    second: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Everything that can be told of two rows."""

    first: str
    second: str
    seeds: tuple[int, ...]
    """Seeds that both have, over which differences are paired."""
    tasks: tuple[TaskComparison, ...]
    overall: TaskSummary
    """Over the tasks that both have; positive where the second side is better."""
    fields: tuple[FieldDifference, ...]
    unknown: tuple[str, ...]
    """Sides whose configuration was not recorded."""


def compare(first: Side, second: Side, *, queries: QueryScores | None = None) -> Comparison:
    """Return how `second` differs from `first`.

    Args:
        first: What is compared with.
        second: What is compared.
        queries: Per-query scores of the sources that the sides name.
    """
    names = [*first.scores, *(task for task in second.scores if task not in first.scores)]
    tasks = [_compare_task(name, first, second, queries) for name in names]
    tested = [index for index, one in enumerate(tasks) if one.inference is not None]
    family = correct([one.inference for one in tasks if one.inference is not None])
    for index, inference in zip(tested, family, strict=True):
        tasks[index] = replace(tasks[index], inference=inference)
    gains = [one.gain for one in tasks if one.gain is not None]
    return Comparison(
        first=first.name,
        second=second.name,
        seeds=tuple(_shared(first, second)),
        tasks=tuple(tasks),
        overall=summarise_tasks(gains),
        fields=_compare_fields(first.config, second.config),
        unknown=tuple(side.name for side in (first, second) if not side.config),
    )


def _compare_fields(first: Mapping[str, str], second: Mapping[str, str]) -> tuple[FieldDifference, ...]:
    """Return the fields that differ; nothing where one side's configuration is not known."""
    if not first or not second:
        return ()
    return tuple(
        FieldDifference(field=name, first=first.get(name), second=second.get(name))
        for name in sorted(first.keys() | second.keys())
        if first.get(name) != second.get(name)
    )


def _compare_task(task: str, first: Side, second: Side, queries: QueryScores | None) -> TaskComparison:
    one, other = first.scores.get(task), second.scores.get(task)
    known = [score for score in (one, other) if score is not None and score.records]
    records = [record for score in known for record in score.records]
    values = [record.value for record in records if record.value is not None]
    result = TaskComparison(
        task=task,
        metric=records[0].metric if records else "",
        higher_is_better=records[0].higher_is_better if records else True,
        scale=100 if all(-1 <= value <= 1 for value in values) else 1,
        first=_mean(one),
        second=_mean(other),
    )
    for side, score in ((first, one), (second, other)):
        if score is None or score.state != "ok":
            why = score.reason if score is not None else "the task is not among its suites"
            return replace(result, reason=f"{side.name}: {why}")
    assert one is not None  # noqa: S101 - said by the loop above
    assert other is not None  # noqa: S101
    metrics = {record.metric for record in records}
    if len(metrics) > 1:
        return replace(result, reason=f"measured with {' and '.join(sorted(metrics))}")
    difference, by_seed = _by_seed(one, other, shared=_shared(first, second))
    inference = _by_query(first, second, records[0], other.records[0], queries)
    return replace(
        result,
        difference=difference,
        inference=inference or (over_seeds(by_seed) if by_seed is not None else None),
        unlike=tuple(differing_facts(other.records, one.records)),
    )


def _mean(score: Score | None) -> float | None:
    import statistics

    if score is None or not score.per_seed:
        return None
    return statistics.fmean(one.value for one in score.per_seed)


def _shared(first: Side, second: Side) -> list[int]:
    seeds = {member.seed for member in second.members if member.seed is not None}
    return sorted(
        member.seed for member in first.members if member.seed in seeds and member.seed is not None
    )


def _by_seed(one: Score, other: Score, *, shared: Sequence[int]) -> tuple[float, FloatArray | None]:
    """Return the difference, and its values by seed where there is a pairing."""
    import numpy as np

    before = np.array([value.value for value in one.per_seed])
    after = np.array([value.value for value in other.per_seed])
    paired = _pair(
        before,
        after,
        [value.seed for value in one.per_seed],
        [value.seed for value in other.per_seed],
        shared=shared,
    )
    if paired is None:
        return float(after.mean() - before.mean()), None
    return float(paired.mean()), paired


def _pair(
    before: FloatArray,
    after: FloatArray,
    seeds_before: Sequence[int | None],
    seeds_after: Sequence[int | None],
    *,
    shared: Sequence[int],
) -> FloatArray | None:
    """Return differences along the first axis; None where several seeds stand against several others."""
    if shared:
        return (
            after[[seeds_after.index(seed) for seed in shared]]
            - before[[seeds_before.index(seed) for seed in shared]]
        )
    if len(before) == 1 or len(after) == 1:
        return after - before
    return None


def _by_query(
    first: Side, second: Side, before: Record, after: Record, queries: QueryScores | None
) -> Inference | None:
    """Return what per-query scores say of a task; None where a side lacks them or has other queries."""
    import numpy as np

    if queries is None:
        return None
    sides = []
    for side, record in ((first, before), (second, after)):
        found = queries.matrix(
            side.members,
            suite=record.suite,
            task=record.task,
            metric=record.metric,
            source=side.source,
        )
        if found is None:
            return None
        sides.append(found)
    (units, ours), (others, theirs) = sides
    # Repeated experiments are no queries: they say nothing of other test texts.
    if units.unit != "query" or not np.array_equal(units.keys, others.keys):
        return None
    seeds = [[member.seed for member in side.members] for side in (first, second)]
    paired = _pair(ours, theirs, *seeds, shared=_shared(first, second))
    if paired is None:
        paired = theirs.mean(axis=0, keepdims=True) - ours.mean(axis=0, keepdims=True)
    if len(paired) > 1:
        return over_both(paired)
    return over_queries(paired)[0] if paired.shape[1] > 1 else None
