"""A run that is kept open: plans are added to it while it goes on, and it tells what ended.

Owns `Session`, which joins a queue, a store and a backend. The rule: whatever plans, studies or search
trials ask for it, a step runs once; a finished one is never run again, a failed one stops only what
depends on it, and whatever ends the session leaves everything that was finished.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from harness.execution.backends import Backend
from harness.execution.job import Job, Outcome
from harness.execution.leases import Held
from harness.execution.queue import Queue, Room, State
from harness.execution.states import plan_states
from harness.execution.store import ArtifactStore
from harness.execution.watching import Watch
from harness.plan import Plan, Step

Progress = Callable[[str, Step, str], None]
"""Called with an event (`started`, `elsewhere`, or a state of `Ended`), its step and a message."""

LOOK_SECONDS = 1.0
_UNDER_WAY: tuple[State, ...] = ("running", "ready", "elsewhere")

EndState = Literal["done", "reused", "failed", "skipped", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a step of the session came to its end."""

    step: Step
    state: EndState
    """`done`: it ran here. `reused`: its artifact was there, or was made elsewhere meanwhile. `skipped`:
    a step that it needs failed."""
    message: str = ""
    """Why, for all but `done`."""
    cause: str = ""
    """Fingerprint of the failed step behind a skipped one."""
    seconds: float = 0.0


class Session:
    """Runs the steps of plans that may be added at any time. A context manager.

    Typical use, by a driver that thinks of new plans as others end:

        with Session(store, open_backend) as session:
            session.add(plan)
            while not session.is_idle:
                for ended in session.advance():
                    ...  # session.add(another plan), session.cancel(...)

    Args:
        store: Where artifacts are and will be.
        open_backend: Makes the backend; called when there is something to run.
        mirrors: Folders that stand in for the hub.
        progress: Told of every event.
        watch: Sees when a step that runs elsewhere is to be taken over.
        look_seconds: Between two looks at the steps that run elsewhere.
    """

    def __init__(
        self,
        store: ArtifactStore,
        open_backend: Callable[[], Backend],
        *,
        mirrors: tuple[Path, ...] = (),
        progress: Progress = lambda *_: None,
        watch: Watch | None = None,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self.ended: dict[str, Ended] = {}
        """Fingerprint -> end, of every step that has ended so far."""
        self._store = store
        self._open_backend = open_backend
        self._backend: Backend | None = None
        self._mirrors = tuple(str(mirror.absolute()) for mirror in mirrors)
        self._progress = progress
        self._watch = watch or Watch(store.leases)
        self._look_seconds = look_seconds
        self._next_look = 0.0
        self._queue = Queue()
        self._studies: dict[str, str] = {}
        self._news: list[Ended] = []
        self._is_stopping = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, plan: Plan, *, priority: int = 0) -> None:
        """Take up the steps of a plan.

        Steps that other plans brought are shared. What has an artifact, and what needs a step that
        failed in this session, ends at once: the next `advance` tells. A cancelled step is taken up
        again.

        Args:
            plan: The steps.
            priority: Ready steps of higher priority start first; running ones are left alone.
        """
        found = {
            planned.step.fingerprint: planned.reason
            for planned in plan_states(plan, self._store)
            if planned.state == "reuse" and planned.step.fingerprint not in self._queue.steps
        }
        skipped = self._queue.add(plan, done=found, priority=priority)
        for name in plan.steps:
            self._studies.setdefault(name, plan.study)
            # A cancelled step that was added again has not ended.
            if name in self.ended and self.state(name) not in {"done", "failed", "skipped"}:
                del self.ended[name]
        for name, reason in found.items():
            self._tell(name, "reused", reason)
        self._tell_skipped(skipped)

    def advance(self, *, timeout: float | None = None) -> list[Ended]:
        """Start what can start, wait until something ends, and return what has ended since last time.

        Args:
            timeout: Seconds to wait at most; an in-process backend returns only when its step has ended.

        Returns:
            The ends, in their order; empty after the timeout, or when nothing is left to do.
        """
        end = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            self._look_elsewhere()
            self._start_ready()
            if not self._news:
                self._listen(end - time.monotonic())
            if self._news or time.monotonic() >= end or self.is_idle:
                break
        news, self._news = self._news, []
        return news

    def _listen(self, seconds: float) -> None:
        """Wait for a running step to end, or for the next look at those that run elsewhere."""
        if self._queue.num("elsewhere"):
            seconds = min(seconds, self._look_seconds)
        if self._backend is not None and self._queue.num("running"):
            heard = self._backend.wait(None if seconds == math.inf else max(seconds, 0.0))
            if heard is not None:
                self._take(*heard)
        elif self._queue.num("elsewhere"):
            time.sleep(max(seconds, 0.0))

    def state(self, name: str) -> State:
        """Return how far a step is that some plan brought, by its fingerprint."""
        return self._queue.state(name)

    @property
    def is_idle(self) -> bool:
        """Whether everything has ended and been told. Other plans may still be added."""
        open_states = _UNDER_WAY[:1] if self._is_stopping else _UNDER_WAY
        return not self._news and not self._queue.num(*open_states)

    def cancel(self, names: Iterable[str]) -> list[str]:
        """End steps by fingerprint, and take out what needs them.

        Running ones are killed where the backend can, and go on from their newest checkpoint when they
        are added again. Which steps other plans share is for the caller to know.

        Returns:
            The fingerprints of the steps that were cancelled; not those that had ended.
        """
        cancelled = self._queue.cancel(names)
        if self._backend is not None:
            self._backend.cancel(cancelled)
        for name in cancelled:
            self._tell(name, "cancelled", "cancelled")
        return cancelled

    def stop(self) -> None:
        """Start nothing more. What runs is waited for by further calls of `advance`."""
        self._is_stopping = True

    def close(self) -> None:
        """End what is running, and free the backend."""
        if self._backend is not None:
            self._backend.close()
            self._backend = None

    def _start_ready(self) -> None:
        while not self._is_stopping and self._queue.num("ready"):
            if self._backend is None:
                self._backend = self._open_backend()
            step = self._queue.take(self._backend.room)
            if step is None and not self._queue.num("running"):
                # It can never fit: the backend says what it lacks.
                step = self._queue.take(Room())
            if step is None:
                return
            held = self._store.leases.held(step.fingerprint)
            expired = self._watch.expired(step.fingerprint)
            if held is not None and not held.is_dead and held.beat != expired:
                self._leave(step, held)
                continue
            self._backend.submit(self._job(step, expired))
            self._progress("started", step, "")

    def _leave(self, step: Step, held: Held | None) -> None:
        """Let another process run a step, and use its result."""
        self._queue.leave(step.fingerprint)
        self._progress("elsewhere", step, f"running on {held.describe()}" if held else "")

    def _look_elsewhere(self) -> None:
        """See which of the steps that run elsewhere are done, and which are to be run here after all."""
        if not self._queue.num("elsewhere") or time.monotonic() < self._next_look:
            return
        for name in self._queue.names("elsewhere"):
            if self._store.has(self._queue.steps[name].stage, name):
                self._tell(name, "reused", "made by another process meanwhile")
                self._queue.finish(name)
            elif self._watch.look(name) != "held":
                self._queue.put_back(name)
        self._next_look = time.monotonic() + self._look_seconds

    def _job(self, step: Step, expired: bytes | None) -> Job:
        return Job(
            step=step,
            study=self._studies[step.fingerprint],
            home=str(self._store.home),
            inputs={role: self._queue.steps[needed].stage for role, needed in step.inputs.items()},
            mirrors=self._mirrors,
            expired=expired,
        )

    def _take(self, name: str, outcome: Outcome) -> None:
        if self._queue.state(name) != "running":
            return
        if outcome.state == "held":
            self._leave(self._queue.steps[name], self._store.leases.held(name))
            return
        self._tell(name, outcome.state, outcome.message, seconds=outcome.seconds)
        if outcome.state == "failed":
            self._tell_skipped(self._queue.fail(name))
        else:
            self._queue.finish(name)

    def _tell_skipped(self, names: Iterable[str]) -> None:
        for name in names:
            cause = self._queue.cause(name)
            self._tell(name, "skipped", f"needs {self._queue.steps[cause].name}", cause=cause)

    def _tell(
        self, name: str, state: EndState, message: str, *, cause: str = "", seconds: float = 0.0
    ) -> None:
        step = self._queue.steps[name]
        ended = Ended(step=step, state=state, message=message, cause=cause, seconds=seconds)
        self.ended[name] = ended
        self._news.append(ended)
        self._progress(state, step, message)
