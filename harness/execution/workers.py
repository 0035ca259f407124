"""Workers, as the process that starts them sees them.

Owns starting one, handing it a job and learning how it ended. The rule: whatever happens to a worker
is the outcome of its job; the end of this process is the end of its workers.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing.connection import Connection

from harness.execution.failures import Failure, describe_exit
from harness.execution.job import Job, Outcome, note_failure
from harness.execution.worker import END_AT_ONCE, GRACE_SECONDS
from harness.identity.memory import memory_limit_bytes, num_memory_kills

_SETTINGS = {
    # Threads that spin while they wait slow down a machine whose cores are all in use.
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
}
_MOST_JOBS = 50
"""Libraries keep a little of each step; what they keep ends with the process."""


class Worker:
    """One worker, which runs one job at a time.

    Args:
        devices: What it sees of CUDA's devices, as `CUDA_VISIBLE_DEVICES` names them; as this process
            does when None.
    """

    def __init__(self, *, devices: str | None = None) -> None:
        ours, theirs = socket.socketpair()
        life, self._life = os.pipe()
        # What it prints before its first job; a pipe nobody reads would fill up.
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        environment = _environment({} if devices is None else {"CUDA_VISIBLE_DEVICES": devices})
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "harness.execution.worker",
                    str(theirs.fileno()),
                    str(life),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._said,
                pass_fds=(theirs.fileno(), life),
                start_new_session=True,
                env=environment,
            )
        os.close(life)
        self.connection = Connection(ours.detach())
        self.num_jobs = 0
        """Jobs that it was given."""
        self.pid = 0
        """Process that runs the steps; also the number of its group. Known once it is up."""
        self._job: Job | None = None
        self._kills: int | None = None

    @property
    def is_up(self) -> bool:
        """Whether it has said that it is ready for jobs."""
        return self.pid != 0

    @property
    def is_old(self) -> bool:
        """Whether it ran so many steps that a fresh one should take its place."""
        return self.num_jobs >= _MOST_JOBS

    def submit(self, job: Job) -> None:
        """Give it a job; it must have none."""
        self._job = job
        self._kills = num_memory_kills()
        self.num_jobs += 1
        try:
            self.connection.send(job)
        except (BrokenPipeError, ConnectionResetError):
            # It died while it had nothing to do; `receive` finds out.
            return

    def greet(self) -> bool:
        """Hear from a worker without a job that it is up; return whether it is."""
        with contextlib.suppress(EOFError, ConnectionResetError):
            self.pid = self.connection.recv()
        return self.is_up

    def receive(self) -> Outcome | None:
        """Return the outcome of its job, waiting for it; None if this was only a sign of life."""
        job = self._job
        assert job is not None  # noqa: S101
        try:
            heard = self.connection.recv()
        except (EOFError, ConnectionResetError):
            failure = self._describe_end()
            note_failure(job, failure)
            return Outcome(step=job.step.fingerprint, state="failed", failure=failure)
        if isinstance(heard, int):
            self.pid = heard
            return None
        self._job = None
        outcome: Outcome = heard
        return outcome

    def run(self, job: Job) -> Outcome:
        """Give it a job and wait for the outcome."""
        self.submit(job)
        while (outcome := self.receive()) is None:
            pass
        return outcome

    def ask_to_end(self) -> None:
        """Tell it to end, also in the midst of a step, which it then notes as preempted."""
        if self._life >= 0:
            os.close(self._life)
            self._life = -1

    def kill(self) -> None:
        """End it, and all that its step started, now."""
        if self._life >= 0:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._life, END_AT_ONCE)
        self.join()

    def join(self) -> None:
        """Wait until it has ended, which it was asked to, and free what it took."""
        self.ask_to_end()
        self._reap()
        self.connection.close()
        self._said.close()

    def _reap(self) -> tuple[int, int]:
        """Return the exit code and the peak memory in bytes, once the worker has ended."""
        try:
            told, _ = self._process.communicate(timeout=2 * GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            told, _ = self._process.communicate()
        return self._process.returncode, int(told or 0) * 1024

    def _describe_end(self) -> Failure:
        code, peak = self._reap()
        now = num_memory_kills()
        failure = describe_exit(
            code,
            num_kills=None if now is None or self._kills is None else now - self._kills,
            peak_bytes=peak,
            limit_bytes=memory_limit_bytes(),
            stage=self._job.step.stage if self._job is not None else "",
        )
        self._said.seek(0)
        if self.pid or not (said := self._said.read().decode(errors="replace").strip()):
            return failure
        message = f"the step's process could not start: {said.splitlines()[-1]}"
        return Failure(kind="error", message=message, signature=message)


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    # A folder on the import path of this process alone would be missed by the worker.
    paths = os.pathsep.join(path for path in sys.path if path)
    return {**os.environ, "PYTHONPATH": paths, **_SETTINGS, **more}
