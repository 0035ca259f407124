"""After a kill at any instant, a search meets its target: no trial is lost, none counted twice."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.storages.journal import JournalFileBackend

from harness.study import Study
from tests.search.fake import Done, FakeStages, edited, make_study, search


class KilledError(BaseException):
    """Ends the driver without a chance to tidy up, as SIGKILL does."""


def _deadly(
    real: Callable[[JournalFileBackend, list[dict[str, Any]]], None], *, every: int, how: str
) -> Callable[[JournalFileBackend, list[dict[str, Any]]], None]:
    """Return a way of writing that kills the driver at its n-th write."""
    count = itertools.count(1)

    def append(self: JournalFileBackend, logs: list[dict[str, Any]]) -> None:
        is_last = next(count) % every == 0
        if not is_last or how == "after":
            real(self, logs)
        if is_last and how == "torn":
            with Path(self._file_path).open("a", encoding="utf-8") as file:
                file.write('{"op_code":')
        if is_last:
            raise KilledError

    return append


def _search_through_kills(
    study: Study, home: Path, patch: pytest.MonkeyPatch, *, every: int, how: str
) -> tuple[Done, int]:
    """Run a search whose driver dies at every n-th write, until one comes through."""
    real = JournalFileBackend.append_logs
    kills = 0
    for _ in range(200):
        patch.setattr(JournalFileBackend, "append_logs", _deadly(real, every=every, how=how))
        try:
            done = search(study, home)
        except KilledError:
            kills += 1
            continue
        patch.setattr(JournalFileBackend, "append_logs", real)
        return done, kills
    raise AssertionError("the search never came through")


@pytest.mark.parametrize("how", ["before", "torn", "after"])
@pytest.mark.parametrize("every", [9, 13])
def test_the_target_is_met_exactly(
    how: str, every: int, stages: FakeStages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(tmp_path, edited("trials: 20", "trials: 12"))
    done, kills = _search_through_kills(study, tmp_path / "home", monkeypatch, every=every, how=how)
    assert kills >= 2
    assert done.states == {"COMPLETE": 12}
    assert [trial.number for trial in done.ledger.trials()] == list(range(12))
    # What was finished before a kill is not run again.
    points = {tuple(trial.params.values()) for trial in done.ledger.trials()}
    assert stages.runs["contrast"] == len(points)


@pytest.mark.parametrize("kind", ["tpe", "cmaes", "random", "grid"])
def test_batches_are_the_same_with_and_without_kills(
    kind: str, stages: FakeStages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = edited(
        "trials: 20\n", f"trials: 14\n  batch: 4\n  sampler: {{kind: {kind}, startup_trials: 3}}\n"
    )
    if kind == "grid":
        old = "{kind: float, low: 0.005, high: 0.1, log: true}"
        text = edited(old, "{kind: categorical, choices: [0.005, 0.01, 0.02, 0.05, 0.1]}", text=text)
    study = make_study(tmp_path, text)
    undisturbed = search(study, tmp_path / "first")
    for how in ("before", "after"):
        home = tmp_path / how
        done, kills = _search_through_kills(study, home, monkeypatch, every=9, how=how)
        assert kills >= 2
        assert done.asks == undisturbed.asks
        assert _results(done) == _results(undisturbed)


def _results(done: Done) -> list[tuple[object, ...]]:
    return [(t.number, t.state, t.values, t.params) for t in done.ledger.trials()]
