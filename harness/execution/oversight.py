"""What a run owes to others on the same store: it obeys what is asked of it, and makes room.

Owns `Oversight`, which a running session is shown once a second. The rule: what another study's run
needs goes on, whoever asked for its end; a run of lower priority starts nothing while one of higher
priority has steps that find no room.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.execution.journal import JOURNAL_NAME, Journal
from harness.execution.location import Location, located
from harness.execution.noted import note_more, noted
from harness.execution.queue import Room
from harness.execution.runs import Ask, OwnRun, Run, Runs
from harness.execution.session import Session
from harness.execution.watching import Watch
from harness.plan import Plan

LOOK_SECONDS = 1.0


class Unseen:
    """The oversight of a run that others neither see nor ask. A context manager."""

    look_seconds: float | None = None
    """Between two looks; no looks when None."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def begin(self, room: Room) -> None:
        """The run has a backend, which may use so much."""

    def look(self, session: Session) -> None:
        """Some time has passed, or something has ended."""

    def end(self) -> None:
        """The run is over."""


class Oversight(Unseen):
    """One run among those of a store. A context manager.

    Args:
        home: Where the store is.
        plan: What it is to bring about.
        profile: Under which profile of the study; empty without one.
        priority: Runs of higher priority get room first.
        announce: Takes a line for people.
        look_seconds: Between two looks.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        home: Path | Location,
        *,
        plan: Plan,
        profile: str = "",
        priority: int = 0,
        announce: Callable[[str], None] = lambda _: None,
        look_seconds: float = LOOK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.look_seconds: float = look_seconds
        self._home = home
        self._journal = Journal(located(home).log(JOURNAL_NAME))
        self._runs = Runs(home)
        self._watch = Watch(self._runs.leases, clock=clock)
        self._plan = plan
        self._profile = profile
        self._priority = priority
        self._announce = announce
        self._clock = clock
        self._next_look = 0.0
        self._own: OwnRun | None = None
        self._has_grown = False
        self.is_cancelled = False
        """Whether somebody asked for the end of the whole run."""

    def begin(self, room: Room) -> None:
        """Make the run known to others, with what it may use."""
        self._own = self._runs.begin(
            study=self._plan.study,
            profile=self._profile,
            priority=self._priority,
            cpus=room.cpus,
            gpus=room.gpus,
            steps=self._plan.steps,
        )

    def grow(self, plan: Plan) -> None:
        """The run is to bring about these steps too; others learn of it at the next look."""
        self._has_grown |= not plan.steps.keys() <= self._plan.steps.keys()
        self._plan = replace(self._plan, steps={**self._plan.steps, **plan.steps})

    def end(self) -> None:
        """The run is over."""
        if self._own is not None:
            self._own.end()
            self._own = None

    def look(self, session: Session) -> None:
        """Obey what was asked since the last look, and see who needs room; at most once a second."""
        if self._own is None or self._clock() < self._next_look:
            return
        if self._has_grown:
            self._own.describe(steps=self._plan.steps)
            note_more(self._home, noted(self._plan))
            self._has_grown = False
        for ask in self._own.take_asks():
            self._obey(session, ask)
        self._own.show_short(session.lacks_room)
        others = [run for run in self._others() if run.priority > self._priority]
        before = next((run for run in others if self._runs.is_short(run)), None)
        session.hold(f"{before.study} (priority {before.priority}) needs room first" if before else "")
        self._next_look = self._clock() + self.look_seconds

    def _others(self) -> list[Run]:
        """Return the runs that live, and sweep those of other machines that have stopped to."""
        found = []
        for run in self._runs.living():
            if self._watch.look(run.name) == "expired":
                self._runs.remove(run)
            else:
                found.append(run)
        return found

    def _obey(self, session: Session, ask: Ask) -> None:
        names = [name for name in self._plan.steps if ask.steps is None or name in ask.steps]
        if ask.verb == "retry":
            self._retry(session, names, ask.why)
            return
        self.is_cancelled |= ask.steps is None
        running = {name for name in names if session.state(name) == "running"}
        shared = running & self._needed_elsewhere()
        if ask.steps is None and self._own is not None:
            # Nobody is to keep a step going for a run that has ended.
            self._own.describe(steps=shared)
        cancelled = session.cancel(name for name in names if name not in shared)
        for name in cancelled:
            if name in running:
                self._journal.append("cancelled", step=name, study=self._plan.study, message=ask.why)
        more = f"; {len(shared)} go on, which other studies need" if shared else ""
        self._announce(f"{len(cancelled)} steps are cancelled: {ask.why}{more}")

    def _retry(self, session: Session, names: list[str], why: str) -> None:
        failed = {
            name for name in names if session.state(name) == "failed" or self._given_up(session, name)
        }
        behind = {name for name, end in session.ended.items() if end.cause in failed}
        session.add(self._plan, again=failed | behind)
        self._announce(f"{len(failed)} steps are tried again: {why}")

    def _given_up(self, session: Session, name: str) -> bool:
        end = session.ended.get(name)
        return end is not None and end.is_given_up

    def _needed_elsewhere(self) -> set[str]:
        """Return what other studies need: what their runs are to bring about that are not to end too."""
        others = (run for run in self._runs.living() if run.study != self._plan.study)
        return set().union(*(run.steps for run in others if not self._runs.is_to_end(run)))
