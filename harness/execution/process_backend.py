"""Jobs in processes of this machine, as many side by side as its processors and devices allow.

Owns `ProcessBackend`, and which step gets which device. The rule: every step runs in a process group
of its own, and a step that has a device gets a fresh process, since what a library keeps of a device's
memory it keeps until its process ends.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection
from multiprocessing.connection import wait
from pathlib import Path

from harness.errors import HarnessError
from harness.execution.job import Job, Outcome
from harness.execution.queue import Room
from harness.execution.workers import Worker
from harness.plan import Step
from harness.study.document import Resources

_FRACTION = 1e-6
"""What sums of fractions of a device may be off by."""


class ProcessBackend:
    """Runs jobs in processes of their own.

    Args:
        num_cpus: Processor cores to use; all that this process may use when None.
        devices: Names of CUDA devices to use; those of `visible_devices` when None.
    """

    def __init__(self, *, num_cpus: int | None = None, devices: Collection[str] | None = None) -> None:
        self._num_starts = len(os.sched_getaffinity(0))
        self._num_cpus = num_cpus or self._num_starts
        names = visible_devices() if devices is None else devices
        self._free = dict.fromkeys(names, 1.0)
        self._idle: list[Worker] = []
        self._busy: dict[Worker, tuple[Job, dict[str, float]]] = {}
        self._num_expected = 0

    def expect(self, steps: Collection[Step]) -> None:
        """Start, few at a time, the workers that steps without a device will keep busy side by side."""
        light = [step.resources.cpus for step in steps if step.resources.gpus == 0]
        if light:
            self._num_expected = min(len(light), self._num_cpus // min(light))
            self._start_ahead()

    def submit(self, job: Job) -> None:
        """Start a job.

        Raises:
            HarnessError: If the machine has less than the step asks for.
        """
        self._check(job)
        shares = self._assign(job.step.resources)
        worker = None if shares else self._take_idle()
        worker = worker or Worker(devices=",".join(shares))
        self._busy[worker] = job, shares
        worker.submit(job)

    def wait(self, timeout: float | None = None) -> tuple[str, Outcome] | None:
        """Return the fingerprint and outcome of a job that ended."""
        waited = [*self._busy, *(worker for worker in self._idle if not worker.is_up)]
        ready = wait([worker.connection for worker in waited], timeout)
        # One at a time: the others' answers stay where they are until the next call.
        for worker in [worker for worker in waited if worker.connection in ready][:1]:
            outcome = self._hear(worker)
            if outcome is not None:
                return outcome.step, outcome
        return None

    def _hear(self, worker: Worker) -> Outcome | None:
        """Return the outcome of a worker's job; None if it has only said that it is up."""
        if worker in self._busy:
            outcome = worker.receive()
            if outcome is not None:
                self._release(worker, is_over=outcome.failure is not None)
        else:
            outcome = None
            if not worker.greet():
                # Others would not start either; the first step that gets one will tell why.
                self._num_expected = 0
                self._idle.remove(worker)
                worker.kill()
        self._start_ahead()
        return outcome

    def _start_ahead(self) -> None:
        """Start workers that are expected, no more at once than there are cores to start them."""
        workers = [*self._busy, *self._idle]
        num_starting = sum(not worker.is_up for worker in workers)
        while len(workers) < self._num_expected and num_starting < self._num_starts:
            self._idle.append(Worker(devices=""))
            workers.append(self._idle[-1])
            num_starting += 1

    @property
    def room(self) -> Room:
        """Cores that no job asked for, and the most that one device, or all whole ones, have free."""
        taken = sum(job.step.resources.cpus for job, _ in self._busy.values())
        whole = float(sum(free >= 1 - _FRACTION for free in self._free.values()))
        largest = max(self._free.values(), default=0.0)
        return Room(cpus=self._num_cpus - taken, gpus=max(whole, largest) + _FRACTION)

    def cancel(self, names: Collection[str]) -> None:
        """End jobs with all that they started."""
        for worker, (job, _) in list(self._busy.items()):
            if job.step.fingerprint in names:
                self._release(worker, is_over=True)

    def close(self) -> None:
        """End all jobs: they are asked to and note that they were preempted, or else are killed."""
        workers = [*self._busy, *self._idle]
        for worker in workers:
            worker.ask_to_end()
        for worker in workers:
            worker.join()
        self._busy.clear()
        self._idle.clear()

    def _take_idle(self) -> Worker | None:
        """Return a worker without a job, the first to have started."""
        found = next((worker for worker in self._idle if worker.is_up), next(iter(self._idle), None))
        if found is not None:
            self._idle.remove(found)
        return found

    def _check(self, job: Job) -> None:
        resources = job.step.resources
        for name, wanted, there in (
            ("CPU", resources.cpus, self._num_cpus),
            ("GPU", resources.gpus, len(self._free)),
        ):
            if wanted > there:
                raise HarnessError(
                    f"{job.step.stage} asks for {wanted:g} {name}, this machine has {there:g}",
                    cure="lower `resources` in the study, or join a cluster with --address",
                )

    def _assign(self, resources: Resources) -> dict[str, float]:
        """Return device -> share for a step, and take it."""
        if resources.gpus == 0:
            return {}
        if resources.gpus >= 1:
            whole = [name for name, free in self._free.items() if free >= 1 - _FRACTION]
            shares = dict.fromkeys(whole[: math.ceil(resources.gpus)], 1.0)
        else:
            # The fullest that has room, so that whole devices stay whole.
            fitting = {n: free for n, free in self._free.items() if free >= resources.gpus - _FRACTION}
            shares = {min(fitting, key=fitting.__getitem__): resources.gpus}
        for name, share in shares.items():
            self._free[name] -= share
        return shares

    def _release(self, worker: Worker, *, is_over: bool) -> None:
        _, shares = self._busy.pop(worker)
        for name, share in shares.items():
            self._free[name] += share
        if is_over or shares or worker.is_old:
            worker.kill()
        else:
            self._idle.append(worker)


def visible_devices() -> list[str]:
    """Return the names of the CUDA devices that this process may use; no driver is loaded."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    return [path.name.removeprefix("nvidia") for path in sorted(Path("/dev").glob("nvidia[0-9]*"))]
