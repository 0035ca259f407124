"""From the records of one model on one task to a score, or to the reason why there is none.

Owns the two means that make a cell: over a task's splits and subsets, then over seeds. The rule: no mean
is taken over parts that are not all there; what lacks is named with its state and reason. Which records
belong to which row is left to `scores`; differences, ranks and layout to others.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.records.schema import Record, broad_state
from harness.records.summary import Member
from harness.tables.table import CellState, SeedValue

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

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


def mean_and_spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean and the sample standard deviation of values by seed, None for fewer than two."""
    # Sums are exactly rounded, so that the order of seeds cannot move the last digit.
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return mean, None
    return mean, math.sqrt(math.fsum([(one - mean) ** 2 for one in values]) / (len(values) - 1))


def group_means(values: FloatArray, groups: IntArray) -> tuple[IntArray, FloatArray]:
    """Return the distinct groups in the order in which they appear, and the mean of each.

    As everywhere in tables a sum is exactly rounded, so that no order and no layout moves a last digit;
    that cannot be said of the means of pandas.

    Args:
        values: [n]
        groups: [n] Number of the group of each value.
    """
    import numpy as np

    found, first, sizes = np.unique(groups, return_index=True, return_counts=True)
    appearance = np.argsort(first)
    if len(found) == len(values):
        return groups, values
    listed = values[np.argsort(groups, kind="stable")].tolist()
    ends = np.cumsum(sizes).tolist()
    means = np.array(
        [
            math.fsum(listed[end - size : end]) / size
            for end, size in zip(ends, sizes.tolist(), strict=True)
        ]
    )
    return found[appearance], means[appearance]


def measure(
    member: Member, records: Sequence[Record], *, parts: set[tuple[str, str]], command: str
) -> Measurement:
    """Return what `member` scored on a task.

    Args:
        member: The model.
        records: Its main-score records of the task.
        parts: Every split and subset that any row has for the task.
        command: What would bring a score that is not there.
    """
    current = [one for one in records if is_current(one, member)]
    scored = sorted((one for one in current if one.state == "ok"), key=lambda one: one.key)
    lacking = sorted((one for one in current if one.state != "ok"), key=lambda one: one.key)
    # A part that lacks in all rows alike is none of `parts`, and still no mean goes without it.
    if scored and not lacking and {(one.split, one.subset) for one in scored} == parts:
        value = statistics.fmean(one.value for one in scored if one.value is not None)
        return Measurement(seed=member.seed, value=value, records=tuple(scored))
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


def is_current(record: Record, member: Member) -> bool:
    """Return whether a record is of the very model that the study has now, as far as both say."""
    return not record.revision or not member.revision or record.revision == member.revision
