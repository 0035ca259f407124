"""A light stage that counts its runs, and plans made of it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import DataError
from harness.execution.backends import Backend, InProcessBackend
from harness.execution.runner import RunSummary, run_plan
from harness.execution.store import ArtifactStore
from harness.plan import Plan, Step
from harness.plan.graph import make_step, merge_steps
from harness.stages import StepContext
from harness.study.document import Resources


@dataclass
class CountingStage:
    """Stands in for a real stage: writes its configuration, counts, and fails when told to."""

    name: str = "count"
    version: int = 1
    runs: Counter[str] = field(default_factory=Counter)
    failing: set[str] = field(default_factory=set)
    interrupting: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, context: StepContext) -> None:
        name = context.config["name"]
        with self.lock:
            self.runs[name] += 1
        resumed = (context.scratch / "half").exists()
        (context.scratch / "half").write_text("done")
        if name in self.interrupting:
            raise KeyboardInterrupt
        if name in self.failing:
            raise DataError(f"{name} cannot be had", cure="fetch it")
        parts = sorted((folder / "text").read_text() for folder in context.inputs.values())
        (context.output / "text").write_text(f"{name}({','.join(parts)})")
        context.report(f"ran {name}, {'resumed' if resumed else 'fresh'}")


def step(name: str, needs: Iterable[Step] = ()) -> Step:
    inputs = {f"input{index}": needed for index, needed in enumerate(needs)}
    return make_step("count", {"name": name}, label=name, resources=Resources(), inputs=inputs)


def plan_of(*steps: Step) -> Plan:
    return Plan(study="fake", steps=merge_steps(steps), rows=())


def diamond() -> tuple[Plan, dict[str, Step]]:
    """a -> b, a -> c, b + c -> d, and e alone."""
    a = step("a")
    b, c = step("b", [a]), step("c", [a])
    d = step("d", [b, c])
    e = step("e")
    return plan_of(a, b, c, d, e), {"a": a, "b": b, "c": c, "d": d, "e": e}


def run(plan: Plan, home: Path, backend: Backend | None = None) -> tuple[RunSummary, list[str]]:
    """Run a plan; return what was done and the events as `event name`."""
    events: list[str] = []
    summary = run_plan(
        plan,
        ArtifactStore(home),
        lambda: backend or InProcessBackend(),
        progress=lambda event, step, message: events.append(f"{event} {step.label}"),
    )
    return summary, events


def text_of(home: Path, step: Step) -> str:
    return (ArtifactStore(home).folder(step.stage, step.fingerprint) / "text").read_text()
