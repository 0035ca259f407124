"""Which step is to run next: a graph of steps of one or many plans, and how far each of them is.

Owns the order of work, and nothing but it: no clock, no files, no processes. The rule: a step is ready
when all of its inputs are done; of the ready ones the most urgent goes first, and where it does not fit
into what is free, nothing less urgent takes what it waits for.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from harness.plan import Plan, Step

State = Literal["waiting", "ready", "running", "elsewhere", "done", "failed", "skipped", "cancelled"]
Rank = tuple[float, float, int, int]
Lane = tuple[str, int, float]
"""Stage, processors and devices: ready steps that are alike in what they need."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What is free for further steps."""

    cpus: float = math.inf
    gpus: float = math.inf

    @property
    def is_empty(self) -> bool:
        """Whether not even the smallest step would fit."""
        return self.cpus < 1


class Queue:
    """The steps of all plans that were added, each once."""

    def __init__(self) -> None:
        self.steps: dict[str, Step] = {}
        self._states: dict[str, State] = {}
        self._missing: dict[str, set[str]] = {}
        self._after: dict[str, list[str]] = {}
        self._causes: dict[str, str] = {}
        self._ranks: dict[str, Rank] = {}
        self._lanes: dict[Lane, list[tuple[Rank, str]]] = {}
        self._siblings: Counter[tuple[str, ...]] = Counter()
        self._counts: Counter[State] = Counter()

    def add(
        self,
        plan: Plan,
        *,
        done: Collection[str] = (),
        priority: int = 0,
        again: Collection[str] = (),
    ) -> list[str]:
        """Take the steps of a plan; those that are here already are not taken twice.

        Args:
            plan: The steps.
            done: Fingerprints of those that have an artifact.
            priority: Steps of higher priority go first; a shared step has its highest.
            again: Failed and skipped steps that are to be tried again, as cancelled ones always are.

        Returns:
            Steps that cannot run since one that they need has failed here.
        """
        urgencies = plan.urgencies()
        skipped = []
        for name, step in plan.steps.items():
            rank = (-float(priority), -urgencies[name], self._sibling(name, step), len(self.steps))
            if name not in self.steps:
                self._take_up(name, step, is_done=name in done)
            elif self._states[name] == "cancelled" or (
                name in again and self._states[name] in {"failed", "skipped"}
            ):
                self._set(name, "waiting")
            self._promote(name, rank)
            skipped += self._settle(name)
        return skipped

    def state(self, name: str) -> State:
        """Return how far a step is."""
        return self._states[name]

    def cause(self, name: str) -> str:
        """Return the failed step that a skipped one needs."""
        return self._causes[name]

    def num(self, *states: State) -> int:
        """Return how many steps are in one of some states."""
        return sum(self._counts[state] for state in states)

    def names(self, *states: State) -> list[str]:
        """Return the steps that are in one of some states, in the order in which they came."""
        return [name for name, state in self._states.items() if state in states]

    def take(self, room: Room, *, held: Collection[str] = ()) -> Step | None:
        """Return the most urgent ready step that fits, now running; None if there is none.

        Args:
            room: What is free.
            held: Stages of which nothing is to start now.
        """
        lacks_cpus = lacks_gpus = False
        for _, lane in sorted((heap[0][0], lane) for lane, heap in self._heads()):
            stage, cpus, gpus = lane
            if stage in held:
                continue
            fits = cpus <= room.cpus and gpus <= room.gpus
            if fits and not lacks_cpus and not (lacks_gpus and gpus > 0):
                _, name = heapq.heappop(self._lanes[lane])
                self._set(name, "running")
                return self.steps[name]
            lacks_cpus |= cpus > room.cpus
            lacks_gpus |= gpus > room.gpus
        return None

    def finish(self, name: str) -> None:
        """A step has its artifact: what waited for it alone is ready."""
        self._set(name, "done")
        for after in self._after[name]:
            self._missing[after].discard(name)
            self._settle(after)

    def fail(self, name: str) -> list[str]:
        """A step has failed; return what cannot run therefore, now skipped."""
        self._set(name, "failed")
        return self._skip_after(name, cause=name)

    def give_up(self, name: str, *, cause: str) -> list[str]:
        """A step that was taken is not to run; return what cannot run therefore, now skipped."""
        self._set(name, "skipped")
        self._causes[name] = cause
        return self._skip_after(name, cause=cause)

    def reopen(self, name: str, needed: Collection[str]) -> None:
        """A step that was taken lacks inputs: they are to be made anew, and it waits for them."""
        self.put_back(name)
        for each in needed:
            if self._states[each] == "done":
                self._set(each, "waiting")
                self._settle(each)
            for after in self._after[each]:
                if self._states[after] in {"waiting", "ready"}:
                    self._missing[after].add(each)
                    self._set(after, "waiting")

    def leave(self, name: str) -> None:
        """A step that was taken runs in another process already."""
        self._set(name, "elsewhere")

    def put_back(self, name: str) -> None:
        """A step that was taken is to be started again."""
        self._set(name, "waiting")
        self._settle(name)

    def cancel(self, names: Iterable[str]) -> list[str]:
        """Take out steps, and what needs them; return all that were neither done nor given up yet."""
        cancelled = []
        pending = list(names)
        for name in pending:
            if self._states.get(name) in {"waiting", "ready", "running", "elsewhere"}:
                self._set(name, "cancelled")
                cancelled.append(name)
                pending += self._after[name]
        return cancelled

    def _take_up(self, name: str, step: Step, *, is_done: bool) -> None:
        self.steps[name] = step
        self._after[name] = []
        for needed in step.needs:
            self._after[needed].append(name)
        self._missing[name] = {needed for needed in step.needs if self._states[needed] != "done"}
        self._states[name] = "done" if is_done else "waiting"
        self._counts[self._states[name]] += 1

    def _sibling(self, name: str, step: Step) -> int:
        """Return how many steps with the same inputs came before.

        Among equals, they come apart from each other, since they often share work: of the tasks of one
        model, the second finds the first one's embeddings.
        """
        family = (step.stage, *step.inputs.values())
        self._siblings[family] += name not in self.steps
        return self._siblings[family]

    def _promote(self, name: str, rank: Rank) -> None:
        """Give a step a rank, or a better one than it has."""
        known = self._ranks.get(name)
        if known is not None and known[:2] <= rank[:2]:
            return
        self._ranks[name] = rank
        if self._states[name] == "ready":
            self._push(name)

    def _settle(self, name: str) -> list[str]:
        """Make a waiting step ready or skipped, where its inputs say so; return what is skipped."""
        if self._states[name] != "waiting":
            return []
        for needed in self._missing[name]:
            if self._states[needed] in {"failed", "skipped"}:
                self._set(name, "skipped")
                self._causes[name] = self._causes.get(needed, needed)
                return [name]
        if not self._missing[name]:
            self._set(name, "ready")
            self._push(name)
        return []

    def _skip_after(self, name: str, *, cause: str) -> list[str]:
        skipped = []
        pending = list(self._after[name])
        for after in pending:
            if self._states[after] in {"waiting", "ready"}:
                self._set(after, "skipped")
                self._causes[after] = cause
                skipped.append(after)
                pending += self._after[after]
        return skipped

    def _push(self, name: str) -> None:
        step = self.steps[name]
        lane = (step.stage, step.resources.cpus, step.resources.gpus)
        heapq.heappush(self._lanes.setdefault(lane, []), (self._ranks[name], name))

    def _heads(self) -> Iterable[tuple[Lane, list[tuple[Rank, str]]]]:
        """Yield the lanes that have a ready step, without entries of steps that moved on or up."""
        for lane, heap in self._lanes.items():
            while heap and not self._is_current(*heap[0]):
                heapq.heappop(heap)
            if heap:
                yield lane, heap

    def _is_current(self, rank: Rank, name: str) -> bool:
        return self._states[name] == "ready" and self._ranks[name] == rank

    def _set(self, name: str, state: State) -> None:
        self._counts[self._states[name]] -= 1
        self._states[name] = state
        self._counts[state] += 1
