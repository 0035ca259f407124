"""What would happen to each step of a plan now, and why.

Owns the three states of a planned step. Asking changes nothing and takes no lease.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from harness.errors import StoreError
from harness.execution.artifact_record import ArtifactRecord
from harness.execution.journal import JOURNAL_NAME, Event, Journal
from harness.execution.leases import Held
from harness.execution.store import ArtifactStore
from harness.plan import Plan, Step
from harness.plan.environments import Made

StepState = Literal["run", "reuse", "wait"]


class PlannedStep(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A step with its state.

    `reuse`: its artifact is there. `run`: it would run, after its inputs. `wait`: another process is
    running it now, and its artifact will be used.
    """

    step: Step
    state: StepState
    reason: str
    record: ArtifactRecord | None = None
    """Of its artifact, where that is there."""


def plan_states(plan: Plan, store: ArtifactStore, *, with_history: bool = True) -> list[PlannedStep]:
    """Return the state of every step, in the plan's order.

    Args:
        plan: The steps.
        store: Where artifacts are.
        with_history: Whether reasons tell of earlier tries: the journal is long in an old store.
    """
    latest = Journal(store.location.log(JOURNAL_NAME)).latest() if with_history else {}
    living = store.leases.living()
    # A listing in place of a question a step: plans have many steps, and most are not there.
    touched = store.touched({step.stage for step in plan.steps.values()}) | living.keys()
    planned: dict[str, PlannedStep] = {}
    for name, step in plan.steps.items():
        planned[name] = (
            _state(step, store, planned, latest.get(name), living.get(name))
            if name in touched or name in latest
            else PlannedStep(step=step, state="run", reason=_reason_to_run(step, planned))
        )
    _spare_shards(plan, planned)
    return list(planned.values())


def _spare_shards(plan: Plan, planned: dict[str, PlannedStep]) -> None:
    """Leave out steps that only spare others work which is done already."""
    served: dict[str, bool] = {}
    for name, step in plan.steps.items():
        is_done = planned[name].state == "reuse"
        for shard in step.after:
            served[shard] = served.get(shard, True) and is_done
    for shard, is_served in served.items():
        if is_served and planned[shard].state == "run":
            reason = "what it would spare work is done"
            planned[shard] = PlannedStep(step=planned[shard].step, state="reuse", reason=reason)


def made_before(planned: Iterable[PlannedStep]) -> dict[str, Made]:
    """Return fingerprint -> how it was made, of the steps that are done."""
    return {
        one.step.fingerprint: Made(
            versions=one.record.versions,
            machine=one.record.machine,
            seconds=one.record.wall_seconds,
            num_bytes=sum(one.record.sizes.values()),
        )
        for one in planned
        if one.record is not None
    }


def _state(
    step: Step,
    store: ArtifactStore,
    planned: dict[str, PlannedStep],
    event: Event | None,
    held: Held | None,
) -> PlannedStep:
    try:
        if (record := store.find(step.stage, step.fingerprint)) is not None:
            reason = f"made {record.finished} in {record.wall_seconds:.0f} s"
            return PlannedStep(step=step, state="reuse", reason=reason, record=record)
    except StoreError as error:
        reason = f"damaged, will be made anew: {error.message}"
        return PlannedStep(step=step, state="run", reason=reason)
    if held is not None:
        return PlannedStep(step=step, state="wait", reason=f"running on {held.describe()}")
    reason = _reason_to_run(step, planned)
    if event is not None and event.kind == "failed":
        reason = f"failed last time: {event.message.splitlines()[0]}"
    if event is not None and event.kind == "started":
        reason = "was interrupted; goes on from its newest checkpoint"
    return PlannedStep(step=step, state="run", reason=reason)


def _reason_to_run(step: Step, planned: dict[str, PlannedStep]) -> str:
    waiting = [planned[name].step.name for name in step.needs if planned[name].state != "reuse"]
    return f"after {', '.join(waiting)}" if waiting else "no artifact with this configuration yet"
