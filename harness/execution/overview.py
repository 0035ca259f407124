"""How far a study has come, told from what lies in the store.

Owns `Overview`: the state of each step of a noted plan, who is running it, and how long the rest will
take. The rule: it asks nobody and reads no artifact, only listings, leases and the journal, so that it
is quick with ten thousand steps and safe at any time.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from harness.execution.expectations import Expected, read_expectations
from harness.execution.journal import JOURNAL_NAME, Event, Journal
from harness.execution.leases import Held
from harness.execution.noted import NotedPlan, NotedStep
from harness.execution.remaining import remaining
from harness.execution.runs import Run, Runs
from harness.execution.silence import Silent, as_values, silent_holders
from harness.execution.store import ArtifactStore
from harness.plan.ranges import Range

StepProgress = Literal[
    "done", "running", "waiting", "blocked", "failed", "preempted", "cancelled", "interrupted"
]
STATES: tuple[StepProgress, ...] = (
    "done",
    "running",
    "waiting",
    "blocked",
    "failed",
    "preempted",
    "cancelled",
    "interrupted",
)


class StepStatus(NamedTuple):
    """How far one step is. A tuple, since there are many of them.

    `waiting`: it has not been tried. `blocked`: it needs one that failed or was cancelled.
    `preempted`, `interrupted`: it was under way when it was told to end, or its process ended untold; it
    goes on from its newest checkpoint.
    """

    step: NotedStep
    state: StepProgress
    message: str = ""
    """Why it failed."""
    failure: str = ""
    """Kind of failure."""
    where: str = ""
    """Who runs it."""
    seconds: float | None = None
    """For how long it has been running, by the clock of whoever looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """How far a study is."""

    plan: NotedPlan
    steps: tuple[StepStatus, ...]
    runs: tuple[Run, ...]
    """Runs of this study that are under way."""
    remaining: Range | None
    """How long the rest will take; None where nothing is known of it."""
    silent: tuple[Silent, ...]
    """Who holds a step or a run of this study, and was not heard of for long."""
    looked: datetime
    """By the clock of whoever looked."""

    @property
    def counts(self) -> dict[str, int]:
        """Return state -> number of steps."""
        found = Counter(one.state for one in self.steps)
        return {state: found[state] for state in STATES}

    @property
    def by_stage(self) -> dict[str, Counter[str]]:
        """Return stage -> state -> number of steps, in the plan's order."""
        found: dict[str, Counter[str]] = {}
        for one in self.steps:
            found.setdefault(one.step.stage, Counter())[one.state] += 1
        return found

    @property
    def num_gpus(self) -> tuple[float, float]:
        """Return how many GPUs running steps take, and how many the runs may use together."""
        taken = sum(one.step.gpus for one in self.steps if one.state == "running")
        return taken, sum(run.gpus for run in self.runs)


def look_over(plan: NotedPlan, store: ArtifactStore, *, now: datetime | None = None) -> Overview:
    """Return how far a study is.

    Args:
        plan: Its steps.
        store: Where its artifacts are.
        now: For how long steps have been running, and nothing was heard; the time of now if empty.
    """
    now = now or datetime.now(UTC)
    done = store.touched({step.stage for step in plan.steps.values()})
    latest = Journal(store.location.log(JOURNAL_NAME)).latest()
    living = store.leases.living()
    states: dict[str, StepStatus] = {}
    for name, step in plan.steps.items():
        if name in done:
            states[name] = StepStatus(step, "done")
        elif name in living:
            states[name] = _running(step, living[name], latest.get(name), now)
        else:
            states[name] = _open(step, latest.get(name), states)
    all_runs = Runs(store.location)
    runs = tuple(
        run for run in all_runs.living() if run.study == plan.study and run.profile == plan.profile
    )
    held = [(plan.steps[name].name, lease) for name, lease in living.items() if name in plan.steps]
    held += [("a run", lease) for run in runs if (lease := all_runs.leases.held(run.name)) is not None]
    expected = read_expectations(store.location.below(f"studies/{plan.study}"))
    return Overview(
        plan=plan,
        steps=tuple(states.values()),
        runs=runs,
        remaining=_remaining(plan, states, expected, runs),
        silent=silent_holders(held, now=now),
        looked=now,
    )


def _running(step: NotedStep, held: Held, event: Event | None, now: datetime) -> StepStatus:
    seconds = None
    if event is not None and event.kind == "started":
        seconds = max(0.0, (now - datetime.fromisoformat(event.time)).total_seconds())
    return StepStatus(step, "running", where=held.describe(), seconds=seconds)


def _open(step: NotedStep, event: Event | None, before: Mapping[str, StepStatus]) -> StepStatus:
    """Return the state of a step that is neither done nor running."""
    if event is not None and event.kind == "failed":
        return StepStatus(step, "failed", event.message, event.failure)
    if event is not None and event.kind == "cancelled":
        return StepStatus(step, "cancelled", event.message)
    if event is not None and event.kind == "preempted":
        return StepStatus(step, "preempted", event.message, event.failure)
    if event is not None and event.kind == "started":
        return StepStatus(step, "interrupted")
    for name in step.needs:
        if before[name].state in {"failed", "blocked", "cancelled"}:
            return StepStatus(step, "blocked", f"needs {before[name].step.name}")
    return StepStatus(step, "waiting")


def _remaining(
    plan: NotedPlan,
    states: Mapping[str, StepStatus],
    expected: Mapping[str, Expected],
    runs: Iterable[Run],
) -> Range | None:
    todo = {
        name: expected[name].seconds
        for name, one in states.items()
        if one.state in {"waiting", "running", "preempted", "interrupted"} and name in expected
    }
    spent = {name: states[name].seconds or 0.0 for name in todo}
    return remaining(plan, todo, spent=spent, runs=runs) if todo else None


def as_json(overview: Overview) -> dict[str, object]:
    """Return an overview as plain values."""
    taken, there = overview.num_gpus
    return {
        "study": overview.plan.study,
        "profile": overview.plan.profile,
        "counts": overview.counts,
        "stages": {stage: dict(counts) for stage, counts in overview.by_stage.items()},
        "runs": [
            {
                "where": run.where,
                "started": run.started,
                "priority": run.priority,
                "cpus": _finite(run.cpus),
                "gpus": _finite(run.gpus),
            }
            for run in overview.runs
        ],
        "silent": [as_values(one, now=overview.looked) for one in overview.silent],
        "gpus": {"taken": taken, "there": _finite(there)},
        "remaining_seconds": (
            None
            if overview.remaining is None
            else {"low": overview.remaining.low, "high": overview.remaining.high}
        ),
        "steps": [
            {
                "step": one.step.name,
                "fingerprint": one.step.fingerprint,
                "label": one.step.label,
                "state": one.state,
                "message": one.message,
                "failure": one.failure,
                "where": one.where,
            }
            for one in overview.steps
        ],
    }


def _finite(value: float) -> float | None:
    return value if json.dumps(value) != "Infinity" else None
