"""Trackers: they look on, are told nothing twice, and never stop a training."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from harness.errors import HarnessError
from harness.training.curves import Curves
from harness.training.trackers import ServiceTracker, TrackerName, check_trackers


def _run(
    name: TrackerName, folder: Path, *, first: int, last: int, is_killed: bool = False
) -> list[str]:
    """Log the steps from `first` to before `last`; return what was reported."""
    said: list[str] = []
    tracker = ServiceTracker(name, folder=folder / "contrast-0123456789ab", report=said.append)
    curves = Curves(folder / "metrics.jsonl", trackers=[tracker])
    curves.start(first)
    for step in range(first, last):
        curves.add(step, {"loss": 1 / (step + 1)}, learning_rate=0.1, tokens=5, seconds=1.0)
    if not is_killed:
        curves.close()
    return said


def test_tensorboard_gets_each_step_once_over_an_interruption(tmp_path: Path) -> None:
    assert _run("tensorboard", tmp_path, first=0, last=5, is_killed=True) == []
    assert _run("tensorboard", tmp_path, first=3, last=7) == []
    events = EventAccumulator(str(tmp_path / "contrast-0123456789ab" / "tensorboard"))
    events.Reload()
    assert {"loss", "learning_rate", "tokens_per_second"} <= set(events.Tags()["scalars"])
    points = [(event.step, event.value) for event in events.Scalars("loss")]
    assert points == [(step, pytest.approx(1 / (step + 1))) for step in range(7)]


class _Server:
    """An MLflow server, as far as the real client's methods that are used show it."""

    def __init__(self) -> None:
        self.runs: list[SimpleNamespace] = []
        self.experiments: list[SimpleNamespace] = []
        self.uris: list[str] = []

    def client(self, *, tracking_uri: str) -> Any:
        self.uris.append(tracking_uri)
        return self

    def get_experiment_by_name(self, name: str) -> Any:
        return next((item for item in self.experiments if item.name == name), None)

    def create_experiment(self, name: str) -> str:
        self.experiments.append(SimpleNamespace(name=name, experiment_id=str(len(self.experiments))))
        return str(self.experiments[-1].experiment_id)

    def search_runs(self, experiment_ids: list[str], filter_string: str, max_results: int) -> Any:
        return [run for run in self.runs if f"= '{run.tags['harness.step']}'" in filter_string]

    def create_run(self, experiment_id: str, *, run_name: str, tags: dict[str, str]) -> Any:
        info = SimpleNamespace(run_id=run_name, run_name=run_name)
        self.runs.append(SimpleNamespace(info=info, tags=tags, metrics=[], status="RUNNING"))
        return self.runs[-1]

    def update_run(self, run_id: str, *, status: str) -> None:
        self.runs[0].status = status

    def log_batch(self, run_id: str, *, metrics: list[tuple[str, float, int, int]]) -> None:
        self.runs[0].metrics += metrics

    def set_terminated(self, run_id: str) -> None:
        self.runs[0].status = "FINISHED"


def _install(monkeypatch: pytest.MonkeyPatch, name: str, **attributes: Any) -> None:
    module = ModuleType(name)
    for key, value in attributes.items():
        setattr(module, key, value)
    monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> _Server:
    server = _Server()
    _install(monkeypatch, "mlflow", MlflowClient=server.client)
    _install(monkeypatch, "mlflow.entities", Metric=lambda *values: values)
    return server


def test_mlflow_gets_one_run_named_after_the_step(
    server: _Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert _run("mlflow", tmp_path, first=0, last=5, is_killed=True) == []
    assert server.runs[0].status == "RUNNING"
    assert _run("mlflow", tmp_path, first=3, last=7) == []
    (run,) = server.runs
    assert (run.info.run_name, run.status) == ("contrast-0123456789ab", "FINISHED")
    losses = [(step, value) for name, value, _, step in run.metrics if name == "loss"]
    assert losses == [(step, 1 / (step + 1)) for step in range(7)]
    assert set(server.uris) == {f"sqlite:///{tmp_path}/mlflow.db"}


def test_mlflow_goes_where_the_environment_says(
    server: _Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    _run("mlflow", tmp_path, first=0, last=1)
    assert server.uris == ["http://127.0.0.1:1"]


def test_wandb_goes_on_with_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[dict[str, Any]] = []
    logged: list[int] = []

    def init(**arguments: Any) -> Any:
        opened.append(arguments)
        return SimpleNamespace(
            log=lambda values, step, commit: logged.append(step), finish=lambda: logged.append(-1)
        )

    _install(monkeypatch, "wandb", init=init)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    assert _run("wandb", tmp_path, first=0, last=3, is_killed=True) == []
    assert _run("wandb", tmp_path, first=2, last=5) == []
    assert logged == [0, 1, 2, 3, 4, -1]
    assert opened[0] == opened[1]
    assert opened[0]["id"] == opened[0]["name"] == "contrast-0123456789ab"
    assert opened[0]["resume"] == "allow"


def _fail(*arguments: Any, **keywords: Any) -> Any:
    raise ConnectionError("nobody answers")


@pytest.mark.parametrize(
    "init",
    [_fail, lambda **_: SimpleNamespace(log=_fail, finish=_fail)],
    ids=["when it starts", "later"],
)
def test_a_tracker_that_fails_is_switched_off_with_one_warning(
    init: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install(monkeypatch, "wandb", init=init)
    said = _run("wandb", tmp_path, first=0, last=4)
    assert said == ["warning: tracker wandb is off: ConnectionError: nobody answers"]
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 4


def test_a_missing_library_is_told_with_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check_trackers(["tensorboard"])
    monkeypatch.setattr("harness.training.trackers.find_spec", lambda name: None)
    with pytest.raises(HarnessError, match="names 'mlflow', but its library is not installed") as caught:
        check_trackers(["mlflow"])
    assert caught.value.cure == "pip install 'embedding-harness[mlflow]'"
