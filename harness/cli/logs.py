"""`harness logs`: what a step says, or a run that was submitted."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import HomeOption
from harness.errors import HarnessError
from harness.execution.homes import open_store
from harness.execution.naming import find_step
from harness.execution.noted import NotedStep
from harness.execution.runs import Runs
from harness.execution.store import ArtifactStore
from harness.execution.submissions import Submission, find_submission, job_output

_PAUSE_SECONDS = 0.3
_JOB_PAUSE_SECONDS = 1.0
_BLOCK = 1 << 16


def command(
    step: Annotated[
        str,
        typer.Argument(
            metavar="STEP", help="The beginning of a step's name or fingerprint, or a submission's id."
        ),
    ],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the step has ended.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Print what a step has said in all its tries, and follow what it says now.

    A step that waits in a run is waited for. Ctrl-C ends the following, not the step.

    Examples: `harness logs contrast-3fa9c1`, `harness logs 3fa9c1 -f`
    """
    store = open_store(home)
    if (submission := find_submission(store.location, step)) is not None:
        show_job(submission, follow=follow)
        return
    found = find_step(store, step)
    path = store.fetch_log(found.stage, found.fingerprint)
    if not path.exists() and not (follow and _is_expected(store, found)):
        raise HarnessError(
            f"{found.name} has not said anything yet: {path} is not there",
            cure="`harness logs STEP -f` waits for a step that a run is to bring about",
        )

    def is_open() -> bool:
        may_grow = follow and _is_expected(store, found)
        store.fetch_log(found.stage, found.fingerprint)
        return may_grow

    with contextlib.suppress(KeyboardInterrupt):
        for block in read_on(path, is_open=is_open):
            sys.stdout.write(block)
            sys.stdout.flush()


def show_job(
    submission: Submission,
    *,
    follow: bool,
    pause: Callable[[], None] = lambda: time.sleep(_JOB_PAUSE_SECONDS),
) -> None:
    """Print what the driver of a submitted run has printed, and follow it until it has ended."""
    shown = 0
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            text, has_ended = job_output(submission)
            sys.stdout.write(text[shown:])
            sys.stdout.flush()
            shown = len(text)
            if has_ended or not follow:
                return
            pause()


def read_on(
    path: Path,
    *,
    is_open: Callable[[], bool],
    pause: Callable[[], None] = lambda: time.sleep(_PAUSE_SECONDS),
) -> Iterator[str]:
    """Yield the text of a file, and what is added to it as long as more may come.

    Args:
        path: The file; it may come to be later.
        is_open: Whether more may come. What was written before it said no is still yielded.
        pause: Lets time pass.
    """
    offset = 0
    while True:
        # Asked before reading: what is written in between is not missed.
        may_grow = is_open()
        if path.exists():
            with path.open("rb") as file:
                file.seek(offset)
                while block := file.read(_BLOCK):
                    offset += len(block)
                    yield block.decode("utf-8", "replace")
        if not may_grow:
            return
        pause()


def _is_expected(store: ArtifactStore, step: NotedStep) -> bool:
    """Return whether a step runs, or is still to run in a run that is under way."""
    if store.leases.held(step.fingerprint) is not None:
        held = store.leases.held(step.fingerprint)
        return held is not None and not held.is_dead
    return _is_to_run(store, step)


def _is_to_run(store: ArtifactStore, step: NotedStep) -> bool:
    return step.fingerprint not in store.touched({step.stage}) and any(
        step.fingerprint in run.steps for run in Runs(store.location).living()
    )
