"""The trials of one search: which have been asked for, which have ended, and how.

Owns Optuna's study of a search: its opening, asking, telling, and taking over what a killed driver left.
The rule: a trial comes to the storage in one piece, with all of its parameters, and it belongs to a
driver that holds a lock while it lives, so that a trial that runs is told from one that was left
without heartbeats. Running trials is left to `driver`.
"""

from __future__ import annotations

import contextlib
import math
import random
import uuid
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import optuna
from filelock import FileLock, Timeout
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from harness.errors import HarnessError
from harness.search.asks import write_asks
from harness.search.sampling import Shadow, distribution, make_pruner, trial_seed
from harness.study.search import Search
from harness.study.space import Scalar, grid_points

DRIVER, ASK, SEEDED, FAILURE, SEED_VALUES = "driver", "ask", "seeded_from", "failure", "by_seed"
"""User attributes of a trial: whose it is, how it was asked for, where its value comes from, why it
failed, and its objectives by training seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What makes two searches the same one."""

    study: str
    """Name of the harness's study."""
    name: str
    """Of Optuna's study."""
    definition: dict[str, Any]
    """Space, objectives, sampler, pruner and the baseline's cells, as plain values."""


class Ledger:
    """The trials of one search, for one driver. A context manager.

    Args:
        identity: Which search.
        search: Its settings.
        storage: Where trials are kept.
        folder: The search's folder in the store, on which all of its drivers agree.
        steps: Optimiser steps of a whole trial, for pruners that plan with them.
        is_exclusive: Whether no other driver may work on it at the same time.
    """

    def __init__(
        self,
        identity: Identity,
        search: Search,
        *,
        storage: BaseStorage,
        folder: Path,
        steps: int,
        is_exclusive: bool,
    ) -> None:
        self.search = search
        self.folder = folder
        self._pruner = make_pruner(search, steps=steps)
        self._driver = uuid.uuid4().hex[:12]
        self._is_exclusive = is_exclusive
        self._turn = _lock(folder / "turn.lock")
        self._alive = _lock(self._driver_lock(self._driver))
        self._alone = _lock(folder / "alone.lock")
        self.study = _open_study(identity, search, storage, self._pruner, self._turn)
        self._shadow = Shadow(self.study, search, self._pruner)

    def __enter__(self) -> Self:
        if self._is_exclusive:
            try:
                self._alone.acquire(timeout=0)
            except Timeout:
                raise HarnessError(
                    "another driver works on this search",
                    cure="wait for it; several at once need no `batch` and no SQLite storage",
                ) from None
        self._alive.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self._alive.release()
        Path(self._alive.lock_file).unlink(missing_ok=True)
        self._alone.release()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Keep other drivers from asking; what they have asked for is in the storage."""
        with self._turn:
            yield

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Return the trials in some states, or all of them, by number; not to be changed."""
        return self.study.get_trials(deepcopy=False, states=states or None)

    def num_open(self) -> int:
        """Return how many more trials the target asks for, running ones counted as if they were done.

        Trials that were taken over from another search do not count; failed ones count beyond those
        that are to be replaced.
        """
        own = [trial for trial in self.trials() if SEEDED not in trial.user_attrs]
        failed = sum(trial.state == TrialState.FAIL for trial in own)
        taken = len(own) - failed + max(0, failed - self.search.replace_failed)
        wanted = self.search.trials
        if self.search.sampler.kind == "grid":
            points = list(grid_points(self.search.space))
            seen = [trial.params for trial in self.trials()]
            wanted = min(wanted, taken + sum(point not in seen for point in points))
        return max(0, wanted - taken)

    def ask(self, *, batch: dict[str, int] | None = None) -> FrozenTrial:
        """Ask for one more trial; the caller has its turn."""
        known = [trial for trial in self.trials() if trial.state.is_finished()]
        point, kept = self._choose()
        number = len(self.trials())
        ask: dict[str, Any] = {
            "sampler": self.search.sampler.kind,
            "seed": trial_seed(self.search, number),
            "known": len(known),
        }
        if batch is not None:
            ask["batch"] = batch
        trial = create_trial(
            state=TrialState.RUNNING,
            params=point,
            distributions={name: distribution(self.search.space[name]) for name in point},
            user_attrs={ASK: ask, DRIVER: self._driver},
            system_attrs=kept,
        )
        storage = self.study._storage
        asked = storage.get_trial(storage.create_new_trial(self.study._study_id, template_trial=trial))
        write_asks(self.folder / "asks.jsonl", [asked])
        return asked

    def report(self, trial: FrozenTrial, value: float, *, step: int) -> None:
        """Note an intermediate value, once."""
        if step not in self._current(trial).intermediate_values:
            self.study._storage.set_trial_intermediate_value(trial._trial_id, step, value)

    def should_prune(self, trial: FrozenTrial) -> bool:
        """Return whether the pruner would end a trial after what was reported of it."""
        return self._pruner.prune(self.study, self._current(trial))

    def complete(
        self, trial: FrozenTrial, values: Sequence[float], *, by_seed: Sequence[Sequence[float]] = ()
    ) -> None:
        """Tell a trial's objectives, and what they are for each training seed."""
        if not all(math.isfinite(value) for value in values):
            self.fail(trial, kind="error", message=f"an objective is no finite number: {list(values)}")
            return
        if len(by_seed) > 1:
            self._note(trial, SEED_VALUES, [list(one) for one in by_seed])
        self.study.tell(trial.number, list(values), skip_if_finished=True)

    def prune(self, trial: FrozenTrial) -> None:
        """Tell that a trial was ended early; its last intermediate value stays."""
        self.study.tell(trial.number, state=TrialState.PRUNED, skip_if_finished=True)

    def fail(self, trial: FrozenTrial, *, kind: str, message: str) -> None:
        """Tell that a trial has no value, and why: that is another thing than a bad value."""
        self._note(trial, FAILURE, {"kind": kind, "message": message})
        self.study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)

    def take_over(self) -> list[FrozenTrial]:
        """Return the trials that drivers which are no more left running; they are this one's now."""
        with self.turn():
            found = []
            for trial in self.trials(TrialState.RUNNING):
                if not self._lives(trial.user_attrs.get(DRIVER, "")):
                    self._note(trial, DRIVER, self._driver)
                    found.append(trial)
            write_asks(self.folder / "asks.jsonl", self.trials(), is_anew=True)
            return found

    def _choose(self) -> tuple[dict[str, Scalar], dict[str, Any]]:
        if self.search.sampler.kind != "grid":
            return self._shadow.choose()
        points = list(grid_points(self.search.space))
        random.Random(trial_seed(self.search, 0)).shuffle(points)  # noqa: S311
        seen = [trial.params for trial in self.trials()]
        return next(point for point in points if point not in seen), {}

    def _note(self, trial: FrozenTrial, key: str, value: Any) -> None:
        if not self._current(trial).state.is_finished():
            self.study._storage.set_trial_user_attr(trial._trial_id, key, value)

    def _current(self, trial: FrozenTrial) -> FrozenTrial:
        return self.study._storage.get_trial(trial._trial_id)

    def _lives(self, driver: str) -> bool:
        if driver == self._driver:
            return True
        path = self._driver_lock(driver)
        if not driver or not path.exists():
            return False
        try:
            with FileLock(path).acquire(timeout=0):
                return False
        except Timeout:
            return True

    def _driver_lock(self, driver: str) -> Path:
        return self.folder / "drivers" / driver


def _lock(path: Path) -> FileLock:
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path)


def _open_study(
    identity: Identity,
    search: Search,
    storage: BaseStorage,
    pruner: optuna.pruners.BasePruner,
    turn: FileLock,
) -> optuna.Study:
    with turn:
        study = optuna.create_study(
            storage=storage,
            study_name=identity.name,
            directions=[objective.direction for objective in search.objectives],
            pruner=pruner,
            load_if_exists=True,
        )
        if "harness" not in study.user_attrs:
            study.set_user_attr("harness", {"study": identity.study, "definition": identity.definition})
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study.set_metric_names([objective.expression for objective in search.objectives])
    return study
