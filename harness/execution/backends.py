"""Where jobs run: the protocol of a backend, and the one that runs them in this process.

Owns `Backend` and `InProcessBackend`. The rule: a backend decides where and when, never what; the
results of all backends are the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import Protocol

from harness.execution.job import Job, Outcome, run_job
from harness.execution.queue import Room
from harness.plan import Step


class Backend(Protocol):
    """Runs jobs, one or many at a time."""

    def expect(self, steps: Collection[Step]) -> None:
        """Learn of steps that are to come, so that what takes long to start can be started now."""

    def submit(self, job: Job) -> None:
        """Take a job that fits into `room`; its inputs are there."""

    def wait(self, timeout: float | None = None) -> tuple[str, Outcome] | None:
        """Return the fingerprint and outcome of a submitted job, as soon as one has ended.

        Args:
            timeout: Seconds after which None is returned if none has; waits for ever when None.
        """

    @property
    def room(self) -> Room:
        """What is free for more jobs now."""

    def cancel(self, names: Collection[str]) -> None:
        """End submitted jobs, by fingerprint; nothing more is heard of them."""

    def close(self) -> None:
        """End what is running and free all resources."""


class InProcessBackend:
    """Runs one job at a time in the calling process."""

    def __init__(self) -> None:
        self._waiting: deque[Job] = deque()

    def expect(self, steps: Collection[Step]) -> None:
        """Do nothing: there is nothing to start."""

    def submit(self, job: Job) -> None:
        """Take a job; it runs in the next `wait`."""
        self._waiting.append(job)

    def wait(self, timeout: float | None = None) -> tuple[str, Outcome] | None:  # noqa: ARG002
        """Run the oldest job to its end, however long it takes."""
        job = self._waiting.popleft()
        return job.step.fingerprint, run_job(job)

    @property
    def room(self) -> Room:
        """Enough for any step, while nothing is submitted."""
        return Room(cpus=0, gpus=0) if self._waiting else Room()

    def cancel(self, names: Collection[str]) -> None:
        """Forget jobs that have not run."""
        self._waiting = deque(job for job in self._waiting if job.step.fingerprint not in names)

    def close(self) -> None:
        """Forget jobs that have not run."""
        self._waiting.clear()
