"""One step, run in whatever process a backend chose for it.

Owns what happens between a plan's step and its artifact: the lease, the log, the threads, the run
and the publishing. The rule: a step that another process holds is left to it, one whose artifact has
come to be meanwhile is not run again, and a step that fails leaves its checkpoints for the next try.
"""

from __future__ import annotations

import contextlib
import logging
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

from harness.errors import StoreError
from harness.execution.artifact_record import ArtifactRecord
from harness.execution.failures import Failure, PreemptedError, describe_error
from harness.execution.file_trees import describe_files
from harness.execution.homes import open_store
from harness.execution.integrity import check_used, discard_damaged, mark_checked
from harness.execution.journal import JOURNAL_NAME, Journal, utc_now
from harness.execution.leases import Lease, LeaseLostError
from harness.execution.store import ArtifactStore
from harness.identity.provenance import describe_machine, package_versions
from harness.plan import Step
from harness.stages import STAGES, StepContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A step with the paths that it needs on this machine; plain data, so that it can be sent."""

    step: Step
    study: str
    home: str
    inputs: Mapping[str, str]
    """Role -> stage of the step that fills it."""
    mirrors: tuple[str, ...] = ()
    expired: bytes | None = None
    """Beat of the lease that is to be taken over, if its holder was given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a job ended."""

    step: str
    """Fingerprint."""
    state: Literal["done", "reused", "failed", "held", "damaged"]
    """`held`: another process runs it, or took it over. `damaged`: inputs of it are not whole."""
    seconds: float = 0.0
    failure: Failure | None = None
    """Why it failed."""
    damaged: Mapping[str, str] = field(default_factory=dict)
    """Fingerprint of an input that has to be made anew -> what is wrong with it."""

    @property
    def message(self) -> str:
        """Why it did not end well, for people."""
        if self.failure is not None:
            return self.failure.message
        return "; ".join(self.damaged.values())


def run_job(job: Job) -> Outcome:
    """Run a job to its artifact. Every failure is an outcome; nothing is raised but interrupts."""
    started = time.monotonic()
    try:
        return _attempt(job, started)
    except (OSError, StoreError) as error:
        # A full disk, or a bucket out of reach, also refuses the log and the journal: the run goes on.
        seconds = time.monotonic() - started
        failure = describe_error(error, stage=job.step.stage)
        return Outcome(step=job.step.fingerprint, state="failed", seconds=seconds, failure=failure)


def note_failure(job: Job, failure: Failure) -> None:
    """Tell the journal why a job failed, as far as the disk allows it."""
    with contextlib.suppress(OSError, StoreError):
        Journal(open_store(Path(job.home)).location.log(JOURNAL_NAME)).append(
            "preempted" if failure.kind == "preempted" else "failed",
            step=job.step.fingerprint,
            study=job.study,
            message=failure.message,
            failure=failure.kind,
            signature=failure.signature,
        )


def _attempt(job: Job, started: float) -> Outcome:
    store = open_store(Path(job.home))
    name = job.step.fingerprint
    lease = store.leases.acquire(name, expired=job.expired)
    if lease is None:
        return Outcome(step=name, state="held")
    with lease:
        # Another driver may have finished it since this one looked.
        if store.has(job.step.stage, name):
            return Outcome(step=name, state="reused")
        if damaged := _check_inputs(job, store):
            return Outcome(step=name, state="damaged", damaged=damaged)
        return _run_held(job, store, lease, started)


def _check_inputs(job: Job, store: ArtifactStore) -> dict[str, str]:
    """Return the inputs that are not whole, with the reason, out of the way of being made anew."""
    found = {}
    for role, name in job.step.inputs.items():
        try:
            check_used(store, job.inputs[role], name)
        except StoreError as error:
            found[name] = error.message
            discard_damaged(store, job.inputs[role], name)
    return found


def _run_held(job: Job, store: ArtifactStore, lease: Lease, started: float) -> Outcome:
    step = job.step
    journal = Journal(store.location.log(JOURNAL_NAME))
    journal.append("started", step=step.fingerprint, study=job.study)
    log_file = store.log_file(step.stage, step.fingerprint)
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with (
        store.sharing(step.stage, step.fingerprint, lease),
        log_file.open("a", encoding="utf-8", buffering=1) as log,
        _redirected(log),
    ):
        log.write(f"--- {utc_now()} {step.stage}: {step.label}\n")
        try:
            _run(job, store, lease, log, started)
        except LeaseLostError as error:
            log.write(f"{error.message}\n")
            return Outcome(step=step.fingerprint, state="held")
        except (Exception, PreemptedError) as error:
            failure = describe_error(error, stage=step.stage)
            # What went wrong is known; that a full disk takes no note of it must not hide it.
            with contextlib.suppress(OSError):
                log.write(traceback.format_exc())
            note_failure(job, failure)
            seconds = time.monotonic() - started
            return Outcome(step=step.fingerprint, state="failed", seconds=seconds, failure=failure)
    journal.append("finished", step=step.fingerprint, study=job.study)
    return Outcome(step=step.fingerprint, state="done", seconds=time.monotonic() - started)


def _run(job: Job, store: ArtifactStore, lease: Lease, log: IO[str], started: float) -> None:
    step = job.step
    output, scratch = store.partial(step.fingerprint, lease.token)

    def report(line: str) -> None:
        if lease.is_lost:
            lease.check()
        log.write(f"{utc_now()} {line}\n")

    context = StepContext(
        config=step.config,
        inputs={role: store.folder(job.inputs[role], name) for role, name in step.inputs.items()},
        bindings=step.bindings,
        fingerprint=step.fingerprint,
        output=output,
        scratch=scratch,
        cache=store.home / "cache",
        tracking=store.tracking_folder(step.stage, step.fingerprint),
        resources=step.resources,
        device="auto" if step.resources.gpus > 0 else "cpu",
        mirrors=tuple(Path(mirror) for mirror in job.mirrors),
        report=report,
    )
    STAGES[step.stage].run(context)
    digests, sizes = describe_files(output)
    if not digests:
        raise RuntimeError(f"stage {step.stage} left no files")
    record = ArtifactRecord(
        fingerprint=step.fingerprint,
        payload=step.payload,
        files=digests,
        sizes=sizes,
        versions=package_versions(),
        machine=describe_machine(threads=step.resources.cpus, uses_gpu=step.resources.gpus > 0),
        wall_seconds=round(time.monotonic() - started, 3),
        finished=utc_now(),
    )
    lease.check()
    store.publish(record, output)
    mark_checked(store, step.stage, step.fingerprint, record=record)


@contextlib.contextmanager
def _redirected(log: IO[str]) -> Iterator[None]:
    """Send what libraries print and log to the step's own file, not over the driver's display."""
    handler = logging.StreamHandler(log)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            yield
    finally:
        root.removeHandler(handler)
