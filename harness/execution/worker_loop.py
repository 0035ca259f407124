"""What the working half of a worker does: take a job, run it, send its outcome, and again.

Owns the worker's signals and where its output goes. The rule: a worker that is asked to end in the
midst of a step says so in the journal and lets go of its lease.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

from harness.errors import StoreError
from harness.execution.failures import PreemptedError
from harness.execution.homes import open_store
from harness.execution.job import Job, run_job


def serve(descriptor: int) -> None:
    """Run the jobs that come over a connection until there are no more.

    Args:
        descriptor: File number of the connection.
    """
    # Ctrl-C reaches every process of a terminal's foreground; the driver decides what ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    connection = Connection(descriptor)
    connection.send(os.getpid())
    try:
        while True:
            job: Job = connection.recv()
            _print_into_log(job)
            signal.signal(signal.SIGTERM, _be_preempted)
            outcome = run_job(job)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            connection.send(outcome)
            if outcome.failure is not None and outcome.failure.kind == "preempted":
                return
    except (EOFError, ConnectionResetError, BrokenPipeError):
        return
    except PreemptedError:
        # Just before or after the step itself.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)


def _be_preempted(*_: object) -> None:
    # Once is enough: a second signal must not interrupt the tidying up.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise PreemptedError


def _print_into_log(job: Job) -> None:
    """Send what compiled code and child processes print to the step's own log."""
    with contextlib.suppress(OSError, StoreError):
        path = open_store(Path(job.home)).log_file(job.step.stage, job.step.fingerprint)
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.close(descriptor)
