"""Where jobs run: the protocol of a backend, and the one that runs them in this process.

Owns `Backend` and `InProcessBackend`. The rule: a backend decides where and when, never what; the
results of all backends are the same.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from harness.execution.job import Job, Outcome, run_job


class Backend(Protocol):
    """Runs jobs, one or many at a time."""

    def submit(self, job: Job) -> None:
        """Take a job; its inputs are there."""

    def wait(self) -> tuple[str, Outcome]:
        """Return the fingerprint and outcome of a submitted job, as soon as one has ended."""

    @property
    def num_free(self) -> int:
        """How many more jobs are worth submitting now."""

    def close(self) -> None:
        """End what is running and free all resources."""


class InProcessBackend:
    """Runs one job at a time in the calling process."""

    def __init__(self) -> None:
        self._waiting: deque[Job] = deque()

    def submit(self, job: Job) -> None:
        """Take a job; it runs in the next `wait`."""
        self._waiting.append(job)

    def wait(self) -> tuple[str, Outcome]:
        """Run the oldest job to its end."""
        job = self._waiting.popleft()
        return job.step.fingerprint, run_job(job)

    @property
    def num_free(self) -> int:
        """One, while nothing is submitted."""
        return 0 if self._waiting else 1

    def close(self) -> None:
        """Forget jobs that have not run."""
        self._waiting.clear()
