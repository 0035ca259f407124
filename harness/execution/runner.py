"""The loop that makes a plan true.

Owns the order of work: steps whose inputs are there, the most urgent first. The rule: a finished step
is never run again, a failed one stops only what depends on it, and whatever ends the run (an error, a
kill, Ctrl-C) leaves everything that was finished.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.execution.backends import Backend
from harness.execution.job import Job
from harness.execution.states import plan_states
from harness.execution.store import ArtifactStore
from harness.plan import Plan, Step

Progress = Callable[[str, Step, str], None]
"""Called with an event (`started`, `done`, `reused`, `failed`, `skipped`), its step and a message."""


@dataclass(slots=True, kw_only=True)
class RunSummary:
    """What a run did with each step."""

    done: list[str] = field(default_factory=list)
    """Fingerprints of the steps that ran to their end."""
    reused: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """Fingerprint -> why."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Fingerprint -> fingerprint of the failed step that it depends on."""

    def counts(self) -> dict[str, int]:
        """Return how many steps ran, were reused, failed or were skipped."""
        return {
            "run": len(self.done),
            "reused": len(self.reused),
            "failed": len(self.failed),
            "skipped": len(self.skipped),
        }


def run_plan(
    plan: Plan,
    store: ArtifactStore,
    open_backend: Callable[[], Backend],
    *,
    mirrors: tuple[Path, ...] = (),
    progress: Progress,
) -> RunSummary:
    """Run every step of a plan that has no artifact yet.

    Args:
        plan: The steps.
        store: Where artifacts are and will be.
        open_backend: Makes the backend; called only if there is something to run.
        mirrors: Folders that stand in for the hub.
        progress: Told of every event.

    Returns:
        What was done with each step; failed steps are in it, not raised.
    """
    summary = RunSummary()
    for planned in plan_states(plan, store):
        if planned.state == "reuse":
            summary.reused.append(planned.step.fingerprint)
            progress("reused", planned.step, planned.reason)
    if len(summary.reused) == len(plan.steps):
        return summary
    backend = open_backend()
    try:
        _Run(plan, store, backend, mirrors, progress, summary).loop()
    finally:
        backend.close()
    return summary


def _ranks(plan: Plan) -> dict[str, tuple[float, int, int]]:
    """Return what orders the ready steps; the lowest goes first.

    The most urgent first. Among equals, steps with the same inputs come apart from each other, since
    they often share work: of the tasks of one model, the second finds the first one's embeddings.
    """
    urgencies = plan.urgencies()
    siblings: Counter[tuple[str, ...]] = Counter()
    ranks = {}
    for index, (name, step) in enumerate(plan.steps.items()):
        family = (step.stage, *step.inputs.values())
        ranks[name] = (-urgencies[name], siblings[family], index)
        siblings[family] += 1
    return ranks


class _Run:
    """One pass over a plan with one backend."""

    def __init__(
        self,
        plan: Plan,
        store: ArtifactStore,
        backend: Backend,
        mirrors: tuple[Path, ...],
        progress: Progress,
        summary: RunSummary,
    ) -> None:
        self._plan = plan
        self._store = store
        self._backend = backend
        self._mirrors = tuple(str(mirror.absolute()) for mirror in mirrors)
        self._progress = progress
        self._summary = summary
        self._dependants = plan.dependants()
        ended = set(summary.reused)
        self._missing = {
            name: {needed for needed in step.inputs.values() if needed not in ended}
            for name, step in plan.steps.items()
            if name not in ended
        }
        self._rank = _ranks(plan)
        self._ready = {name for name, missing in self._missing.items() if not missing}
        self._running = 0

    def loop(self) -> None:
        while self._ready or self._running:
            while self._ready and self._backend.num_free > 0:
                self._start(min(self._ready, key=self._rank.__getitem__))
            name, outcome = self._backend.wait()
            self._running -= 1
            self._end(name, outcome.state, outcome.message)

    def _start(self, name: str) -> None:
        self._ready.discard(name)
        step = self._plan.steps[name]
        stages = {role: self._plan.steps[needed].stage for role, needed in step.inputs.items()}
        self._backend.submit(
            Job(
                step=step,
                study=self._plan.study,
                home=str(self._store.home),
                inputs=stages,
                mirrors=self._mirrors,
            )
        )
        self._running += 1
        self._progress("started", step, "")

    def _end(self, name: str, state: Literal["done", "reused", "failed"], message: str) -> None:
        step = self._plan.steps[name]
        self._progress(state, step, message)
        if state == "failed":
            self._summary.failed[name] = message
            self._skip(name, cause=name)
            return
        (self._summary.done if state == "done" else self._summary.reused).append(name)
        for after in self._open_dependants(name):
            self._missing[after].discard(name)
            if not self._missing[after]:
                self._ready.add(after)

    def _skip(self, name: str, *, cause: str) -> None:
        for after in self._open_dependants(name):
            self._summary.skipped[after] = cause
            step = self._plan.steps[after]
            self._progress("skipped", step, f"needs {self._plan.steps[cause].name}")
            self._skip(after, cause=cause)

    def _open_dependants(self, name: str) -> list[str]:
        """Return what takes `name` as an input and is neither done nor skipped."""
        skipped = self._summary.skipped
        return [
            after for after in self._dependants[name] if after in self._missing and after not in skipped
        ]
