"""One plan, made true.

Owns `run_plan`: a session with one plan, run to its end, and the summary of what it did.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from harness.execution.backends import Backend
from harness.execution.ends import Ended, Progress
from harness.execution.oversight import Oversight, Unseen
from harness.execution.session import Session
from harness.execution.store import ArtifactStore
from harness.plan import Plan
from harness.study.queueing import QueuePolicy

_TERMINATED = 128 + signal.SIGTERM
"""Exit code of a command that SIGTERM ended, as shells give it."""


@dataclass(slots=True, kw_only=True)
class RunSummary:
    """What a run did with each step."""

    done: list[str] = field(default_factory=list)
    """Fingerprints of the steps that ran to their end."""
    reused: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """Fingerprint -> why."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Fingerprint -> fingerprint of the failed step that it depends on, or that is like it."""
    cancelled: list[str] = field(default_factory=list)
    """Fingerprints of the steps that somebody asked to end."""
    given_up: dict[str, str] = field(default_factory=dict)
    """Fingerprint -> why, of the skipped steps that were not tried since others like them failed."""
    lacking: set[str] = field(default_factory=set)
    """Fingerprints of the failed steps, and of those given up with them, whose data is not there."""

    @classmethod
    def of(cls, ends: Iterable[Ended]) -> Self:
        """Return the summary of a session's ends."""
        summary = cls()
        for ended in ends:
            name = ended.step.fingerprint
            if ended.state == "done":
                summary.done.append(name)
            elif ended.state == "reused":
                summary.reused.append(name)
            elif ended.state == "failed":
                summary.failed[name] = ended.message
                if ended.failure is not None and ended.failure.kind == "missing":
                    summary.lacking.add(name)
            elif ended.state == "cancelled":
                summary.cancelled.append(name)
            elif ended.state == "skipped":
                summary.skipped[name] = ended.cause
                if ended.is_given_up:
                    summary.given_up[name] = ended.message
                    summary.lacking |= {name} if ended.cause in summary.lacking else set()
        return summary

    def counts(self) -> dict[str, int]:
        """Return how many steps ran, were reused, failed or were skipped."""
        return {
            "run": len(self.done),
            "reused": len(self.reused),
            "failed": len(self.failed),
            "skipped": len(self.skipped),
        }


def run_plan(
    plan: Plan,
    store: ArtifactStore,
    open_backend: Callable[[], Backend],
    *,
    mirrors: tuple[Path, ...] = (),
    progress: Progress,
    policy: QueuePolicy | None = None,
    announce: Callable[[str], None] = lambda _: None,
    oversight: Oversight | None = None,
) -> RunSummary:
    """Run every step of a plan that has no artifact yet.

    The first Ctrl-C starts nothing more and waits for what runs; the second ends that too. SIGTERM ends
    all at once. Steps that are ended go on from their newest checkpoints next time.

    Args:
        plan: The steps.
        store: Where artifacts are and will be.
        open_backend: Makes the backend; called only if there is something to run.
        mirrors: Folders that stand in for the hub.
        progress: Told of every event.
        policy: When steps are held back, tried again and given up.
        announce: Takes a line for people.
        oversight: Of the run among others; begins with the backend. Nobody can ask anything when None.

    Returns:
        What was done with each step; failed steps are in it, not raised.

    Raises:
        KeyboardInterrupt: After Ctrl-C, if there was more to run.
    """
    overseen = oversight or Unseen()

    def open_overseen() -> Backend:
        backend = open_backend()
        overseen.begin(backend.room)
        return backend

    with (
        overseen,
        Session(store, open_overseen, mirrors=mirrors, progress=progress, policy=policy) as session,
        _interruptible(session, announce),
    ):
        session.add(plan)
        while not session.is_idle:
            session.advance(timeout=overseen.look_seconds)
            overseen.look(session)
        if len(session.ended) < len(plan.steps):
            raise KeyboardInterrupt
        return RunSummary.of(session.ended.values())


@contextlib.contextmanager
def _interruptible(session: Session, announce: Callable[[str], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        running = session.stop()
        announce(
            f"finishing {running} running steps; Ctrl-C again ends them now, and loses no checkpoint"
        )

    def end(*_: object) -> None:
        raise SystemExit(_TERMINATED)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
