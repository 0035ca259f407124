"""Work that is no step of a study, in the sight of others: what it says, and that it can be ended.

Owns `LoneRun`. The rule: while it lasts it looks like a study of one step, so that status, logs and
cancel need to know nothing of it; afterwards its log is left, and no note that gc would go by.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from harness.errors import StoreError
from harness.execution.homes import open_store
from harness.execution.journal import JOURNAL_NAME, EventKind, Journal, utc_now
from harness.execution.noted import NotedPlan, NotedStep, note_plan, remove_note
from harness.execution.overseen import RunCancelledError
from harness.execution.oversight import LOOK_SECONDS
from harness.execution.runs import OwnRun, Runs
from harness.identity import fingerprint


class LoneRun:
    """One piece of work. A context manager.

    Args:
        home: Where the store is.
        name: What status and cancel call it.
        stage: Kind of work; begins the name that logs takes.
        label: For people.
        look_seconds: Between two looks at what was asked of it, and two lines of its log.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        home: Path,
        *,
        name: str,
        stage: str,
        label: str,
        look_seconds: float = LOOK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = open_store(home)
        self._name = name
        self._step = NotedStep(
            fingerprint({"stage": stage, "name": name, "label": label}), stage, label, (), 1, 0.0
        )
        self._look_seconds = look_seconds
        self._clock = clock
        self._next_look = 0.0
        self._left = ExitStack()
        self._own: OwnRun
        self._log: IO[str]

    def __enter__(self) -> Self:
        step = self._step
        with ExitStack() as opened:
            lease = self._store.leases.acquire(step.fingerprint)
            if lease is None:
                raise StoreError(f"{self._name}: another process is at work on it", cure="wait for it")
            opened.enter_context(lease)
            steps = {step.fingerprint: step}
            note_plan(
                self._store.location, NotedPlan(study=self._name, profile="", source="", steps=steps)
            )
            opened.callback(remove_note, self._store.location, self._name)
            self._own = Runs(self._store.location).begin(
                study=self._name, profile="", priority=0, cpus=1, gpus=0, steps=steps
            )
            opened.callback(self._own.end)
            path = self._store.log_file(step.stage, step.fingerprint)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._log = opened.enter_context(path.open("a", encoding="utf-8", buffering=1))
            self._tell_journal("started")
            self._left = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._left:
            if error is None:
                self._tell_journal("finished")
            elif isinstance(error, RunCancelledError):
                self._tell_journal("cancelled", error.message)
            elif isinstance(error, Exception):
                self._tell_journal("failed", str(error))

    def report(self, line: str) -> None:
        """Say how far the work is, and learn whether it is to end; at most once a second.

        Raises:
            RunCancelledError: If somebody asked for its end.
        """
        if self._clock() < self._next_look:
            return
        self._next_look = self._clock() + self._look_seconds
        self._log.write(f"{utc_now()} {line}\n")
        if any(ask.verb == "cancel" for ask in self._own.take_asks()):
            raise RunCancelledError(
                f"{self._name} is cancelled: what was done is kept",
                cure="the same command goes on from there",
            )

    def _tell_journal(self, kind: EventKind, message: str = "") -> None:
        Journal(self._store.location.log(JOURNAL_NAME)).append(
            kind, step=self._step.fingerprint, study=self._name, message=message
        )
