"""On clocks that the test moves, a large study takes hardly longer than no schedule can beat."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from benchmarks.queue import install, lower_bound, study_of_sleeps
from harness.execution.job import Job, Outcome
from harness.execution.queue import Room
from harness.execution.session import Session
from harness.execution.store import ArtifactStore
from harness.plan import Step
from harness.stages import STAGES
from harness.study.queueing import QueuePolicy


class SimulatedBackend:
    """Runs nothing: a job ends when as much simulated time has gone by as it would sleep."""

    def __init__(self, workers: int) -> None:
        self.now = 0.0
        self.num_jobs = 0
        self._workers = workers
        self._ends: dict[str, float] = {}

    def expect(self, steps: Collection[Step]) -> None:
        pass

    def submit(self, job: Job) -> None:
        self.num_jobs += 1
        self._ends[job.step.fingerprint] = self.now + job.step.config["seconds"]

    def wait(self, timeout: float | None = None) -> tuple[str, Outcome] | None:
        name = min(self._ends, key=self._ends.__getitem__)
        self.now = self._ends.pop(name)
        return name, Outcome(step=name, state="done")

    @property
    def room(self) -> Room:
        return Room(cpus=self._workers - len(self._ends), gpus=0)

    def cancel(self, names: Collection[str]) -> None:
        raise AssertionError

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _sleeping() -> Iterator[None]:
    before = dict(STAGES)
    install()
    yield
    STAGES.clear()
    STAGES.update(before)


@pytest.mark.parametrize("workers", [1, 8])
def test_64_variants_take_at_most_a_twentieth_longer_than_the_lower_bound(
    workers: int, tmp_path: Path
) -> None:
    plan = study_of_sleeps()
    backend = SimulatedBackend(workers)
    # A canary waits by the real clock.
    policy = QueuePolicy(canary_seconds=0)
    with Session(ArtifactStore(tmp_path), lambda: backend, policy=policy) as session:
        session.add(plan)
        while not session.is_idle:
            session.advance()
    assert backend.num_jobs == len(plan.steps)
    assert backend.now <= 1.05 * lower_bound(plan, workers)
