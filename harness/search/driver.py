"""The loop of a search: trials are asked for, their plans are added to an open session, values are told.

Owns when a trial is asked for, looked at and told. The rule: no failure of a trial ends the search, and
whatever ends it loses nothing: a trial that was asked for is finished by the next driver, from the
artifacts that are there. What runs where is left to the session, which trial is next to the ledger.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from optuna.trial import FrozenTrial

from harness.errors import HarnessError
from harness.execution.ends import Ended
from harness.execution.journal import Journal
from harness.execution.overseen import OverseenSession
from harness.execution.session import Session
from harness.search.cells import Cells, NoValueError
from harness.search.ledger import ASK, Ledger
from harness.search.stations import Station, plan_stations, station_value

_KINDS = {
    "out_of_memory": r"out of memory|outofmemory|memoryerror|cannot allocate memory|memory ran out",
    "not_finite": r"is (nan|-?inf)\b",
}
"""Kind of a failure -> what its message says."""
_QUEUE_KINDS = {
    "cuda-oom": "out_of_memory",
    "host-oom": "out_of_memory",
    "non-finite": "not_finite",
    "preempted": "preempted",
}
"""Kind of a failure as the queue has it -> as a trial has it."""


@dataclass(slots=True, kw_only=True)
class _Active:
    """A trial that this driver is running."""

    trial: FrozenTrial
    stations: list[Station]
    """Those that are not passed yet, the next one first."""
    is_known: bool
    """Whether the end was there already: then nothing is decided on the way."""
    waiting: set[str] = field(default_factory=set)
    """Fingerprints of the next station's evaluations that have not ended."""


class Driver:
    """Runs one search up to its target.

    Args:
        cells: The search's variants.
        ledger: Its trials.
        session: Runs their steps.
        workers: Trials that are run at once, where they are not asked for in batches.
        tell: Takes a line for people now and then.
    """

    def __init__(
        self,
        cells: Cells,
        ledger: Ledger,
        session: Session | OverseenSession,
        *,
        workers: int,
        tell: Callable[[str], None],
    ) -> None:
        self._cells = cells
        self._ledger = ledger
        self._session = session
        self._workers = workers
        self._tell = tell
        self._active: dict[int, _Active] = {}
        self._watchers: dict[str, set[int]] = {}
        self._gpu_seconds = _earlier_gpu_seconds(cells)
        self.is_over_budget = False

    def run(self) -> None:
        """Run until the target is met, the space is used up, or the budget is spent."""
        self._take_over()
        while True:
            self._fill()
            if self._settle():
                continue
            if not self._active:
                if not self._take_over():
                    return
                continue
            if self._session.is_idle:
                self._give_up()
                continue
            for ended in self._session.advance():
                self._note(ended)

    def _take_over(self) -> int:
        left = self._ledger.take_over()
        for trial in left:
            self._begin(trial)
        if left:
            numbers = ", ".join(str(trial.number) for trial in left)
            self._tell(f"going on with what was left running: trial {numbers}")
        return len(left)

    def _fill(self) -> None:
        """Ask for as many trials as may run now."""
        if self._cells.search.batch is not None:
            self._fill_batch(self._cells.search.batch)
            return
        while len(self._active) < self._workers and not self._spent():
            with self._ledger.turn():
                trial = self._ledger.ask() if self._ledger.num_open() else None
            if trial is None:
                return
            self._begin(trial)

    def _fill_batch(self, size: int) -> None:
        """Ask for the next batch once the last one has ended; first for what a kill left of the last."""
        asked = [trial.user_attrs.get(ASK, {}).get("batch") for trial in self._ledger.trials()]
        batches = [batch for batch in asked if batch is not None]
        last = batches[-1] if batches else {"number": -1, "size": 0}
        missing = last["size"] - batches.count(last)
        if not missing and not self._active and not self._spent():
            last = {"number": last["number"] + 1, "size": min(size, self._ledger.num_open())}
            missing = last["size"]
        for _ in range(missing):
            with self._ledger.turn():
                trial = self._ledger.ask(batch=last)
            self._begin(trial)

    def _begin(self, trial: FrozenTrial) -> None:
        try:
            plan = self._cells.plan(trial.params)
        except HarnessError as error:
            self._fail(trial, kind="invalid", message=error.message)
            return
        stations = plan_stations(self._cells, plan)
        is_known = self._cells.has_scores(stations[-1].leaves)
        if is_known:
            stations = [one for one in stations if self._cells.has_scores(one.leaves)]
        active = _Active(trial=trial, stations=stations, is_known=is_known)
        self._active[trial.number] = active
        self._head_for(active)

    def _head_for(self, active: _Active) -> None:
        """Have the next station's steps run, unless its scores are there."""
        station = active.stations[0]
        if self._cells.has_scores(station.leaves):
            return
        self._session.add(station.plan)
        active.waiting = {name for name in station.leaves if name not in self._session.ended}
        for name in active.waiting:
            self._watchers.setdefault(name, set()).add(active.trial.number)

    def _note(self, ended: Ended) -> None:
        if ended.state == "done":
            self._gpu_seconds += ended.seconds * ended.step.resources.gpus
        for number in self._watchers.pop(ended.step.fingerprint, ()):
            if number in self._active:
                self._active[number].waiting.discard(ended.step.fingerprint)

    def _settle(self) -> bool:
        """Take trials past the stations that they have reached; return whether there was any.

        A batch is settled together, in the order in which it was asked for, so that no result depends on
        which trial was faster.
        """
        arrived = [one for _, one in sorted(self._active.items()) if not one.waiting]
        if not arrived or (self._cells.search.batch is not None and len(arrived) < len(self._active)):
            return False
        going_on = [active for active in arrived if self._report(active)]
        for active in going_on:
            self._decide(active)
        return True

    def _report(self, active: _Active) -> bool:
        """Report a station's value; return whether the trial is still running."""
        station = active.stations[0]
        failed = self._failure(station)
        if failed is not None:
            self._fail(active.trial, kind=failed[0], message=failed[1])
            return False
        if station.step is None:
            return True
        try:
            self._ledger.report(active.trial, station_value(self._cells, station), step=station.step)
        except NoValueError as error:
            self._fail(active.trial, kind="no_value", message=error.message)
            return False
        return True

    def _decide(self, active: _Active) -> None:
        """Tell a trial's end, prune it, or send it on."""
        station = active.stations[0]
        if station.step is None:
            self._complete(active)
        elif not active.is_known and self._ledger.should_prune(active.trial):
            self._ledger.prune(active.trial)
            del self._active[active.trial.number]
            what = "step" if station.is_rung else "task"
            self._tell(f"trial {active.trial.number} pruned at {what} {station.step}")
        else:
            del active.stations[0]
            self._head_for(active)

    def _complete(self, active: _Active) -> None:
        try:
            found = self._cells.values(active.stations[0].plan)
        except NoValueError as error:
            self._fail(active.trial, kind="no_value", message=error.message)
            return
        self._ledger.complete(active.trial, found.values, by_seed=found.by_seed)
        del self._active[active.trial.number]
        shown = ", ".join(f"{value:.5g}" for value in found.values)
        known = " (known already)" if active.is_known else ""
        self._tell(f"trial {active.trial.number}: {shown}{known}")

    def _fail(self, trial: FrozenTrial, *, kind: str, message: str) -> None:
        self._ledger.fail(trial, kind=kind, message=message)
        self._active.pop(trial.number, None)
        self._tell(f"trial {trial.number} failed ({kind}): {message.splitlines()[0]}")

    def _failure(self, station: Station) -> tuple[str, str] | None:
        """Return kind and reason of a failed step before a station."""
        if self._cells.has_scores(station.leaves):
            return None
        for name in station.leaves:
            ended = self._session.ended.get(name)
            if ended is not None and ended.cause:
                ended = self._session.ended[ended.cause]
            if ended is not None and ended.state not in {"done", "reused"}:
                kind = _QUEUE_KINDS.get(ended.failure.kind) if ended.failure is not None else None
                return kind or classify(ended.message), f"{ended.step.name}: {ended.message}"
        return "error", "its steps have ended, and there are no scores"

    def _give_up(self) -> None:
        """Fail what waits for steps that nobody runs; others may still be asked for."""
        for active in list(self._active.values()):
            self._fail(active.trial, kind="error", message="its steps were cancelled")

    def _spent(self) -> bool:
        limit = self._cells.search.gpu_hours
        self.is_over_budget = limit is not None and self._gpu_seconds >= limit * 3600
        return self.is_over_budget


def classify(message: str) -> str:
    """Return what kind of failure a step's message tells of: a key of `_KINDS`, or `error`."""
    for kind, pattern in _KINDS.items():
        if re.search(pattern, message, re.IGNORECASE):
            return kind
    return "error"


def _earlier_gpu_seconds(cells: Cells) -> float:
    """Return what earlier drivers of this search have spent, by the journal."""
    if cells.search.gpu_hours is None:
        return 0.0
    mine = {
        event.step
        for event in Journal(cells.store.home / "journal.jsonl").read()
        if event.kind == "finished" and event.study == cells.study.name
    }
    resources = cells.study.resources
    found = 0.0
    for stage, lent in (
        ("reconstruct", resources.train),
        ("contrast", resources.train),
        ("evaluate", resources.evaluate),
    ):
        for name in mine:
            if lent.gpus and (record := cells.store.find(stage, name)) is not None:
                found += record.wall_seconds * lent.gpus
    return found
