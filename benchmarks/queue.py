"""The queue: how near to the best possible its schedule is, and what a step costs beyond its work.

Run as `make bench`; takes five minutes. The study has 64 variants that share stage I and mixtures; its
steps sleep, so that what is timed is the queue and not this machine's processors. The peer of its wall
time is the lower bound: the longest chain of steps or all work over the workers, whichever is longer.
Processes are started within the time that is measured; Ray's are up before, as on a cluster. No-op steps
run one after the other in this process, with all that is done to keep their results; the peer is the
50 ms that a step may cost. Looks at them are taken by processes of their own, as `harness status` is.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from benchmarks.measure import Row, describe, report
from harness.execution.backends import Backend, InProcessBackend
from harness.execution.journal import JOURNAL_NAME, Journal
from harness.execution.noted import note_plan, noted
from harness.execution.process_backend import ProcessBackend
from harness.execution.ray_backend import RayBackend
from harness.execution.runner import run_plan
from harness.execution.session import Session
from harness.execution.store import ArtifactStore
from harness.plan import Plan, Step
from harness.plan.graph import make_step, merge_steps
from harness.stages import STAGES, StepContext
from harness.study.document import Resources
from harness.study.queueing import QueuePolicy

NUM_WORKERS = 8
NUM_NOOPS = 10_000
MOST_SECONDS = 0.05
STATUS_SECONDS = 0.2
CANARY_SECONDS = 0.2
"""What the usual two minutes are to an hour of training, for the six seconds that stand for it here."""
_WARM_SECONDS = 10.0
"""Longer than it takes all workers of a new cluster to start."""
_LOOK = """
import sys, time
from pathlib import Path
from harness.execution.noted import read_noted
from harness.execution.overview import look_over
from harness.execution.store import ArtifactStore
home = Path(sys.argv[1])
began = time.perf_counter()
overview = look_over(read_noted(home, "noops"), ArtifactStore(home))
seconds = time.perf_counter() - began
assert all(one.state == "done" for one in overview.steps)
print(seconds)
"""
_STAGES = ("base", "source", "mix", "reconstruct", "contrast", "evaluate", "warm")


@dataclass
class SleepingStage:
    """Stands in for a stage: sleeps as long as its configuration says."""

    name: str
    version: int = 1

    def run(self, context: StepContext) -> None:
        """Sleep, and leave a file."""
        time.sleep(context.config["seconds"])
        (context.output / "text").write_text("done")


def install() -> None:
    """Make the sleeping stages known, here and in worker processes."""
    for name in _STAGES:
        cast("dict[str, Any]", STAGES)[_stage(name)] = SleepingStage(_stage(name))


def main() -> None:
    """Measure and report."""
    with tempfile.TemporaryDirectory() as folder:
        # Workers learn of the stages as they start.
        (Path(folder) / "sitecustomize.py").write_text("import benchmarks.queue as b; b.install()")
        sys.path.insert(0, folder)
        os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        install()
        rows = [
            measure_schedule(Path(folder) / "study", "processes", ProcessBackend),
            measure_schedule(Path(folder) / "ray", "Ray workers that are up", RayBackend, is_warm=True),
            *measure_noops(Path(folder) / "noops"),
        ]
    report("queue", rows)


def _stage(name: str) -> str:
    """Return a name that no real stage has: what real steps cost is forecast from their settings."""
    return f"sleeping-{name}"


def _step(stage: str, name: str, seconds: float, **inputs: Step) -> Step:
    config = {"name": name, "seconds": seconds}
    return make_step(_stage(stage), config, label=name, resources=Resources(), inputs=inputs)


def study_of_sleeps() -> Plan:
    """Return 64 variants: 4 models of stage I, 4 mixtures, 4 temperatures, each scored on 4 tasks."""
    steps = [base := _step("base", "base", 1.5), source := _step("source", "source", 1.5)]
    for mixture in range(4):
        mix = _step("mix", f"mix {mixture}", 1.5, source=source)
        for first in range(4):
            stage_one = _step("reconstruct", f"I {first}", 3.0, model=base, source=source)
            for temperature in range(4):
                name = f"{mixture} {first} {temperature}"
                model = _step("contrast", name, 6.0, model=stage_one, source=mix)
                tasks = [_step("evaluate", f"{name} {task}", 1.5, model=model) for task in range(4)]
                steps += [mix, stage_one, model, *tasks]
    return Plan(study="sleeps", steps=merge_steps(steps), rows=())


def lower_bound(plan: Plan, workers: int) -> float:
    """Return the seconds that no schedule can beat: the longest chain, or all work over the workers."""
    chains: dict[str, float] = {}
    for name, step in plan.steps.items():
        longest = max((chains[needed] for needed in step.inputs.values()), default=0.0)
        chains[name] = longest + step.config["seconds"]
    work = sum(step.config["seconds"] for step in plan.steps.values())
    return max(*chains.values(), work / workers)


def measure_schedule(
    home: Path, what: str, open_backend: Callable[..., Backend], *, is_warm: bool = False
) -> Row:
    """Run the study of sleeps, and return its wall time beside the lower bound.

    Args:
        home: Folder of a store, which comes to be.
        what: The workers, for people.
        open_backend: Makes a backend; takes `num_cpus`.
        is_warm: Whether every worker runs a step before the time is taken.
    """
    plan = study_of_sleeps()
    waking = [_step("warm", str(index), _WARM_SECONDS) for index in range(NUM_WORKERS * is_warm)]
    with Session(
        ArtifactStore(home),
        partial(open_backend, num_cpus=NUM_WORKERS),
        policy=QueuePolicy(canary_seconds=CANARY_SECONDS),
    ) as session:
        _run_all(session, Plan(study="warm", steps=merge_steps(waking), rows=()))
        began = time.perf_counter()
        _run_all(session, plan)
        seconds = time.perf_counter() - began
    events = Counter((event.kind, event.step) for event in Journal(home / JOURNAL_NAME).read())
    wanted = [*plan.steps, *(step.fingerprint for step in waking)]
    if events != Counter((kind, name) for kind in ("started", "finished") for name in wanted):
        raise RuntimeError("a step did not run exactly once")
    name = f"64 variants, {len(plan.steps)} steps that sleep, {NUM_WORKERS} {what}"
    return _row(name, "seconds", seconds, lower_bound(plan, NUM_WORKERS))


def _run_all(session: Session, plan: Plan) -> None:
    session.add(plan)
    while not session.is_idle:
        session.advance()


def measure_noops(home: Path) -> list[Row]:
    """Run many steps that do nothing; return what one costs, and a look at all of them."""
    plan = Plan(
        study="noops",
        steps=merge_steps(_step("base", str(index), 0.0) for index in range(NUM_NOOPS)),
        rows=(),
    )
    store = ArtifactStore(home)
    resident: list[float] = []
    began = time.perf_counter()
    run_plan(plan, store, InProcessBackend, progress=lambda event, *_: _note(event, resident))
    seconds = (time.perf_counter() - began) / NUM_NOOPS
    note_plan(home, noted(plan))
    status = statistics.median(_look(home) for _ in range(5))
    quarter = len(resident) // 4
    return [
        _row(f"a no-op step of {NUM_NOOPS:,}, kept", "seconds", seconds, MOST_SECONDS),
        _row(f"status and journal of {NUM_NOOPS:,} steps", "seconds", status, STATUS_SECONDS),
        _row(
            "memory after all no-op steps, and after a quarter", "MiB", resident[-1], resident[quarter]
        ),
    ]


def _look(home: Path) -> float:
    """Return the seconds in which a process that knows nothing yet learns how far all steps are."""
    done = subprocess.run(
        [sys.executable, "-c", _LOOK, str(home)], check=True, stdout=subprocess.PIPE, text=True
    )
    return float(done.stdout)


def _note(event: str, resident: list[float]) -> None:
    if event == "done":
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        resident.append(pages * 4096 / (1 << 20))


def _row(name: str, unit: str, ours: float, peer: float) -> Row:
    """Return a row of amounts of which less is better; the ratio is the peer's over ours."""
    return Row(
        name=name,
        unit=unit,
        ours=round(ours, 4),
        peer=round(peer, 4),
        ratio=round(peer / ours, 3),
        peak_share=None,
        repeats=1,
        machine=describe(),
    )


if __name__ == "__main__":
    main()
