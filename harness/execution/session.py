"""A run that is kept open: plans are added to it while it goes on, and it tells what ended.

Owns `Session`, which joins a queue, a store and a backend. The rule: whatever plans, studies or search
trials ask for it, a step runs once; a finished one is never run again, a failed one stops only what
depends on it, and whatever ends the session leaves everything that was finished.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Self

from harness.execution.backends import Backend
from harness.execution.ends import Ended, Ends, Progress
from harness.execution.failures import Failure
from harness.execution.job import Job, Outcome
from harness.execution.leases import Held
from harness.execution.policy import Policies
from harness.execution.queue import Queue, Room, State
from harness.execution.states import plan_states
from harness.execution.store import ArtifactStore
from harness.execution.watching import Watch
from harness.plan import Plan, Step
from harness.study.queueing import QueuePolicy

LOOK_SECONDS = 1.0
_UNDER_WAY: tuple[State, ...] = ("running", "ready", "elsewhere")


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
        policy: When steps are held back, tried again and given up.
        watch: Sees when a step that runs elsewhere is to be taken over.
        look_seconds: Between two looks at the steps that run elsewhere, and at a full disk.
    """

    def __init__(
        self,
        store: ArtifactStore,
        open_backend: Callable[[], Backend],
        *,
        mirrors: tuple[Path, ...] = (),
        progress: Progress = lambda *_: None,
        policy: QueuePolicy | None = None,
        watch: Watch | None = None,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._store = store
        self._open_backend = open_backend
        self._backend: Backend | None = None
        self._mirrors = tuple(str(mirror.absolute()) for mirror in mirrors)
        self._policies = Policies(policy or QueuePolicy(), store.home)
        self._watch = watch or Watch(store.leases)
        self._look_seconds = look_seconds
        self._next_look = 0.0
        self._queue = Queue()
        self._ends = Ends(progress, self._queue)
        self._studies: dict[str, str] = {}
        self._is_stopping = False
        self._lack = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, plan: Plan, *, priority: int = 0, again: Collection[str] = ()) -> None:
        """Take up the steps of a plan.

        Steps that other plans brought are shared. What has an artifact, and what needs a step that
        failed here, ends at once: the next `advance` tells. A cancelled step is taken up again.

        Args:
            plan: The steps.
            priority: Ready steps of higher priority start first; running ones are left alone.
            again: Steps that failed, or were skipped for that, and are taken up again as if new.
        """
        for name in again:
            self._policies.forget(plan.steps[name])
        found = {
            planned.step.fingerprint: planned.reason
            for planned in plan_states(plan, self._store, with_history=False)
            if planned.state == "reuse" and planned.step.fingerprint not in self._queue.steps
        }
        for name, step in plan.steps.items():
            if name not in self._queue.steps:
                self._studies[name] = plan.study
                self._policies.canaries.added(step)
        skipped = self._queue.add(plan, done=found, priority=priority, again=again)
        for name in plan.steps:
            # A step that was added again has not ended.
            if name in self.ended and self.state(name) not in {"done", "failed", "skipped"}:
                del self._ends.of[name]
        for name, reason in found.items():
            self._policies.canaries.ended(plan.steps[name], is_well=True)
            self._ends.tell_step(name, "reused", reason)
        self._ends.tell_skipped(skipped)

    @property
    def ended(self) -> Mapping[str, Ended]:
        """Fingerprint -> end, of every step that has ended so far."""
        return self._ends.of

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
            if not self._ends.has_news:
                self._listen(end - time.monotonic())
            if self._ends.has_news or time.monotonic() >= end or self.is_idle:
                return self._ends.take_news()

    def _listen(self, seconds: float) -> None:
        """Wait for a running step to end, or for a look at what else may change: a cluster may grow."""
        if self._queue.num("elsewhere", "ready") or self._lack:
            seconds = min(seconds, self._look_seconds)
        seconds = min(seconds, *self._policies.canaries.held().values(), math.inf)
        if self._backend is not None and self._queue.num("running"):
            heard = self._backend.wait(None if seconds == math.inf else max(seconds, 0.0))
            if heard is not None:
                self._take(*heard)
        elif self._queue.num("elsewhere") or self._lack:
            time.sleep(max(seconds, 0.0))

    def state(self, name: str) -> State:
        """Return how far a step is that some plan brought, by its fingerprint."""
        return self._queue.state(name)

    @property
    def is_idle(self) -> bool:
        """Whether everything has ended and been told. Other plans may still be added."""
        open_states = _UNDER_WAY[:1] if self._is_stopping else _UNDER_WAY
        return not self._ends.has_news and not self._queue.num(*open_states)

    def cancel(self, names: Iterable[str]) -> list[str]:
        """End steps by fingerprint, and take out what needs them.

        Running ones are killed where the backend can. Added again they go on from their newest
        checkpoint. Which steps other plans share is for the caller to know.

        Returns:
            The fingerprints of the steps that were cancelled; not those that had ended.
        """
        cancelled = self._queue.cancel(names)
        if self._backend is not None:
            self._backend.cancel(cancelled)
        for name in cancelled:
            self._policies.canaries.ended(self._queue.steps[name], is_well=False)
            self._ends.tell_step(name, "cancelled", "cancelled")
        return cancelled

    def hold(self, reason: str) -> None:
        """Start nothing for a while, for a reason that is told; go on if it is empty."""
        self._policies.held_back = reason

    @property
    def lacks_room(self) -> bool:
        """Whether steps are ready that find no room."""
        return self._queue.num("ready") > 0 and not (self._lack or self._policies.canaries.held())

    def stop(self) -> int:
        """Start nothing more; return how many steps run, for which calls of `advance` wait."""
        self._is_stopping = True
        return self._queue.num("running")

    def close(self) -> None:
        """End what is running, and free the backend."""
        if self._backend is not None:
            self._backend.close()
            self._backend = None

    def _start_ready(self) -> None:
        while not self._is_stopping and self._queue.num("ready"):
            step = self._next()
            if step is None:
                return
            name = step.fingerprint
            held = self._store.leases.held(name)
            expired = self._watch.expired(name)
            if held is not None and not held.is_dead and held.beat != expired:
                self._leave(step, held)
            elif (verdict := self._policies.breaker.verdict(step)) is not None:
                message, cause = verdict
                skipped = self._queue.give_up(name, cause=cause)
                self._ends.tell_step(name, "skipped", message, cause=cause, is_given_up=True)
                self._ends.tell_skipped(skipped)
            elif self._backend is not None:
                self._backend.submit(self._job(step, expired))
                self._policies.canaries.started(step)
                self._ends.progress("started", step, "")

    def _next(self) -> Step | None:
        """Return the step that is to start now, if there is one."""
        if self._backend is None:
            self._store.check_access()
            self._backend = self._open_backend()
            self._backend.expect(
                [self._queue.steps[name] for name in self._queue.names("waiting", "ready")]
            )
        room = self._backend.room
        is_running = self._queue.num("running") > 0
        if (room.is_empty and is_running) or self._is_paused():
            return None
        step = self._queue.take(room, held=self._policies.canaries.held())
        if step is None and not is_running:
            # It can never fit: the backend says what it lacks.
            step = self._queue.take(Room())
        return step

    def _is_paused(self) -> bool:
        """Whether the disk is too full; says so once."""
        lack = self._policies.lack()
        if lack and not self._lack:
            first = next(iter(self._queue.names("ready")))
            self._ends.progress("paused", self._queue.steps[first], lack)
        self._lack = lack
        return bool(lack)

    def _leave(self, step: Step, held: Held | None) -> None:
        self._queue.leave(step.fingerprint)
        self._ends.progress("elsewhere", step, f"running on {held.describe()}" if held else "")

    def _look_elsewhere(self) -> None:
        """See which of the steps that run elsewhere are done, and which are to be run here after all."""
        if not self._queue.num("elsewhere") or time.monotonic() < self._next_look:
            return
        for name in self._queue.names("elsewhere"):
            if self._store.has(self._queue.steps[name].stage, name):
                self._ends.tell_step(name, "reused", "made by another process meanwhile")
                self._queue.finish(name)
            elif self._watch.look(name) != "held":
                self._queue.put_back(name)
        self._next_look = time.monotonic() + self._look_seconds

    def _job(self, step: Step, expired: bytes | None) -> Job:
        return Job(
            step=self._policies.retrying.next_try(step),
            study=self._studies[step.fingerprint],
            home=self._store.address,
            inputs={role: self._queue.steps[needed].stage for role, needed in step.inputs.items()},
            mirrors=self._mirrors,
            expired=expired,
        )

    def _take(self, name: str, outcome: Outcome) -> None:
        if self._queue.state(name) != "running":
            return
        step = self._queue.steps[name]
        self._policies.canaries.ended(step, is_well=outcome.state in {"done", "reused"})
        if outcome.state == "held":
            self._leave(step, self._store.leases.held(name))
        elif outcome.damaged and self._policies.retrying.allows_rebuild(step):
            self._queue.reopen(name, outcome.damaged)
            for needed, message in outcome.damaged.items():
                self._ends.of.pop(needed, None)
                self._ends.progress("rebuilt", self._queue.steps[needed], message)
        elif outcome.state in {"done", "reused"}:
            self._ends.tell_step(name, outcome.state, "", seconds=outcome.seconds)
            self._queue.finish(name)
        else:
            self._fail(step, outcome)

    def _fail(self, step: Step, outcome: Outcome) -> None:
        name, message = step.fingerprint, outcome.message
        failure = outcome.failure or Failure(kind="data", message=message, signature="damaged input")
        if self._policies.retrying.allows(step, failure.kind):
            self._queue.put_back(name)
            self._ends.progress("retried", step, message)
            return
        self._policies.breaker.failed(step, failure)
        self._ends.tell_step(name, "failed", message, seconds=outcome.seconds, failure=failure)
        self._ends.tell_skipped(self._queue.fail(name))
