"""What would happen to each step of a plan now, and why.

Owns the three states of a planned step. Asking changes nothing and takes no lease.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.errors import StoreError
from harness.execution.journal import Event, Journal
from harness.execution.leases import Held
from harness.execution.store import ArtifactStore
from harness.plan import Plan, Step

StepState = Literal["run", "reuse", "wait"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """A step with its state.

    `reuse`: its artifact is there. `run`: it would run, after its inputs. `wait`: another process is
    running it now, and its artifact will be used.
    """

    step: Step
    state: StepState
    reason: str


def plan_states(plan: Plan, store: ArtifactStore) -> list[PlannedStep]:
    """Return the state of every step, in the plan's order."""
    latest = Journal(store.home / "journal.jsonl").latest()
    living = store.leases.living()
    # A listing in place of a question a step: plans have many steps, and most are not there.
    touched = store.touched({step.stage for step in plan.steps.values()}) | living.keys()
    planned: dict[str, PlannedStep] = {}
    for name, step in plan.steps.items():
        state, reason = (
            _state(step, store, planned, latest.get(name), living.get(name))
            if name in touched or name in latest
            else ("run", _reason_to_run(step, planned))
        )
        planned[name] = PlannedStep(step=step, state=state, reason=reason)
    return list(planned.values())


def _state(
    step: Step,
    store: ArtifactStore,
    planned: dict[str, PlannedStep],
    event: Event | None,
    held: Held | None,
) -> tuple[StepState, str]:
    try:
        if (record := store.find(step.stage, step.fingerprint)) is not None:
            return "reuse", f"made {record.finished} in {record.wall_seconds:.0f} s"
    except StoreError as error:
        return "run", f"damaged, will be made anew: {error.message}"
    if held is not None:
        return "wait", f"running on {held.describe()}"
    if event is not None and event.kind == "failed":
        return "run", f"failed last time: {event.message.splitlines()[0]}"
    if event is not None and event.kind == "started":
        return "run", "was interrupted; goes on from its newest checkpoint"
    return "run", _reason_to_run(step, planned)


def _reason_to_run(step: Step, planned: dict[str, PlannedStep]) -> str:
    waiting = [
        planned[name].step.name for name in step.inputs.values() if planned[name].state != "reuse"
    ]
    return f"after {', '.join(waiting)}" if waiting else "no artifact with this configuration yet"
