"""From records to what a row scored on a task with each of its seeds.

Owns the grouping of records by row, task and seed, and the two means that make a cell: over a task's
splits and subsets, then over seeds. The rule: no mean is taken over parts that are not all there; what
lacks is named with its state and reason. Differences, ranks and layout are left to others.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.errors import RecordError
from harness.records.schema import Record, broad_state
from harness.records.summary import Member, RowSummary, StudySummary
from harness.tables.table import CellState, SeedValue

TaskKey = tuple[str, str]
"""Suite and task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one member of a row scored on one task."""

    seed: int | None
    value: float | None = None
    state: CellState = "ok"
    reason: str = ""
    records: tuple[Record, ...] = ()
    """The main-score records the value is a mean over, one a split and subset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a row scored on one task, over all its members."""

    measurements: tuple[Measurement, ...]

    @property
    def per_seed(self) -> tuple[SeedValue, ...]:
        """Return the values that are there, in the members' order."""
        return tuple(
            SeedValue(seed=one.seed, value=one.value)
            for one in self.measurements
            if one.value is not None
        )

    @property
    def state(self) -> CellState:
        """Return `ok` if every member has a value, `partial` if some have, else the gravest state."""
        num_values = len(self.per_seed)
        if num_values:
            return "ok" if num_values == len(self.measurements) else "partial"
        states = {one.state for one in self.measurements}
        ordered: tuple[CellState, ...] = ("failed", "missing", "not_applicable")
        return next((state for state in ordered if state in states), "missing")

    @property
    def reason(self) -> str:
        """Return why values lack, seeds named where only some of them do."""
        lacking = [one for one in self.measurements if one.value is None]
        if self.state == "partial":
            seeds = ", ".join(f"seed {one.seed}" for one in lacking)
            reasons = "; ".join(dict.fromkeys(one.reason for one in lacking))
            return f"{len(self.per_seed)} of {len(self.measurements)} seeds ({seeds}: {reasons})"
        return "; ".join(dict.fromkeys(one.reason for one in lacking if one.reason))

    @property
    def records(self) -> tuple[Record, ...]:
        """Return all records behind the score."""
        return tuple(record for one in self.measurements for record in one.records)


def score_rows(summary: StudySummary, records: Iterable[Record]) -> list[dict[TaskKey, Score]]:
    """Return for each row of `summary` its score on each task of each suite.

    Only main scores are looked at. A task counts as measured when it has every split and subset that
    any row of the study has for it.

    Raises:
        RecordError: If two rows use different main metrics for one task, or a row lists a seed twice.
    """
    wanted = {(suite.name, task) for suite in summary.suites for task in suite.tasks}
    slugs = {member.slug for row in summary.rows for member in row.members}
    found: dict[tuple[str, int | None, TaskKey], list[Record]] = {}
    parts: dict[TaskKey, set[tuple[str, str]]] = {task: set() for task in wanted}
    metrics: dict[TaskKey, str] = {}
    for record in records:
        task = (record.suite, record.task)
        if not record.is_main or task not in wanted or record.variant not in slugs:
            continue
        found.setdefault((record.variant, record.seed, task), []).append(record)
        if record.state == "ok":
            parts[task].add((record.split, record.subset))
            if metrics.setdefault(task, record.metric) != record.metric:
                raise RecordError(
                    f"{record.suite}/{record.task} has two main metrics: "
                    f"{metrics[task]} and {record.metric} ({record.variant})",
                    cure="mark one of them with is_main=false",
                )
    command = f"harness run {summary.name}"
    scores = []
    for row in summary.rows:
        _check_seeds(row)
        scores.append(
            {
                task: Score(
                    measurements=tuple(
                        _measure(
                            member,
                            found.get((member.slug, member.seed, task), []),
                            parts=parts[task],
                            command=command,
                        )
                        for member in row.members
                    )
                )
                for task in wanted
            }
        )
    return scores


def mean_over_tasks(scores: Sequence[Score]) -> tuple[SeedValue, ...]:
    """Return the unweighted mean over tasks for each seed; nothing unless every score is whole."""
    if not scores or any(score.state != "ok" for score in scores):
        return ()
    by_seed = zip(*(score.per_seed for score in scores), strict=True)
    return tuple(
        SeedValue(seed=values[0].seed, value=statistics.fmean(one.value for one in values))
        for values in by_seed
    )


def mean_and_spread(values: Sequence[SeedValue]) -> tuple[float, float | None]:
    """Return the mean over seeds and the sample standard deviation, None for fewer than two."""
    numbers = [one.value for one in values]
    # Sums are exactly rounded, so that the order of seeds cannot move the last digit.
    mean = math.fsum(numbers) / len(numbers)
    if len(numbers) < 2:
        return mean, None
    return mean, math.sqrt(math.fsum((one - mean) ** 2 for one in numbers) / (len(numbers) - 1))


def _measure(
    member: Member, records: list[Record], *, parts: set[tuple[str, str]], command: str
) -> Measurement:
    current = [one for one in records if _is_current(one, member)]
    scored = sorted((one for one in current if one.state == "ok"), key=lambda one: one.key)
    if scored and {(one.split, one.subset) for one in scored} == parts:
        value = statistics.fmean(one.value for one in scored if one.value is not None)
        return Measurement(seed=member.seed, value=value, records=tuple(scored))
    lacking = sorted((one for one in current if one.state != "ok"), key=lambda one: one.key)
    for state in ("failed", "missing", "not_applicable"):
        reasons = dict.fromkeys(one.reason for one in lacking if broad_state(one.state) == state)
        if reasons:
            reason = "; ".join(text for text in reasons if text)
            return Measurement(seed=member.seed, state=state, reason=reason or _default(state, command))
    if scored:
        reason = f"{len(scored)} of {len(parts)} splits and subsets measured: {command}"
    elif records:
        reason = f"measured on another revision of the model: {command}"
    else:
        reason = f"not measured yet: {command}"
    return Measurement(seed=member.seed, state="missing", reason=reason)


def _default(state: str, command: str) -> str:
    if state == "not_applicable":
        return "the task does not apply"
    return f"no reason was recorded: {command}"


def _is_current(record: Record, member: Member) -> bool:
    return not record.revision or not member.revision or record.revision == member.revision


def _check_seeds(row: RowSummary) -> None:
    seeds = [member.seed for member in row.members]
    if len(set(seeds)) != len(seeds):
        raise RecordError(
            f"row {row.label!r} lists a seed twice: {seeds}", cure="give each member its own"
        )
