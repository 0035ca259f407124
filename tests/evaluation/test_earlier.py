"""An evaluation of many tasks goes on where it ended, and mixes nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError
from harness.evaluation import foreign
from harness.evaluation.earlier import NOTE_NAME, SCORES_NAME
from harness.evaluation.foreign import evaluate_model
from harness.evaluation.mteb_runner import evaluate_mteb
from harness.evaluation.scores import Score, read_scores
from harness.study.benchmarks import Limits

_TASKS = ("STSBenchmark", "SciFact")


class Counted:
    """Evaluates as before, and tells which tasks it was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tasks: list[str] = []
        monkeypatch.setattr(foreign, "evaluate_mteb", self)

    def __call__(self, encoder: Any, task: str, **settings: Any) -> list[Score]:
        self.tasks.append(task)
        return evaluate_mteb(encoder, task, **settings)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


def _run(
    model: Path, tasks: Sequence[str] | dict[str, Limits], mirror: Path, output: Path
) -> list[Score]:
    return evaluate_model(str(model), tasks, mirrors=[mirror], output=output)


def test_what_was_scored_is_not_scored_again_and_stays(
    tiny_base: Path, mirror: Path, tmp_path: Path, counted: Counted
) -> None:
    first = _run(tiny_base, _TASKS[:1], mirror, tmp_path)
    both = _run(tiny_base, _TASKS, mirror, tmp_path)
    assert counted.tasks == list(_TASKS)
    assert both[: len(first)] == first
    _run(tiny_base, _TASKS[1:], mirror, tmp_path)
    assert counted.tasks == list(_TASKS)
    assert read_scores(tmp_path / SCORES_NAME) == sorted(both, key=lambda score: score.key)


def test_a_task_that_failed_or_was_cut_otherwise_is_scored_again(
    tiny_base: Path, mirror: Path, tmp_path: Path, counted: Counted
) -> None:
    incomplete = tmp_path / "mirror"
    shutil.copytree(mirror / "mteb" / "scifact", incomplete / "mteb" / "scifact")
    scores = _run(tiny_base, _TASKS, incomplete, tmp_path / "out")
    assert [score.task for score in scores if score.state == "missing"] == ["STSBenchmark"]
    shutil.copytree(mirror / "mteb" / "stsbenchmark-sts", incomplete / "mteb" / "stsbenchmark-sts")
    assert all(score.state == "ok" for score in _run(tiny_base, _TASKS, incomplete, tmp_path / "out"))
    assert counted.tasks == [*_TASKS, "STSBenchmark"]
    _run(tiny_base, {"STSBenchmark": Limits(splits=("test",))}, incomplete, tmp_path / "out")
    assert counted.tasks == [*_TASKS, "STSBenchmark", "STSBenchmark"]


def test_other_data_or_versions_are_scored_again(
    tiny_base: Path, mirror: Path, tmp_path: Path, counted: Counted
) -> None:
    own = tmp_path / "mirror"
    shutil.copytree(mirror / "mteb" / "stsbenchmark-sts", own / "mteb" / "stsbenchmark-sts")
    _run(tiny_base, _TASKS[:1], own, tmp_path / "out")
    (own / "mteb" / "stsbenchmark-sts" / "README.md").open("a").write("\n")
    _run(tiny_base, _TASKS[:1], own, tmp_path / "out")
    assert len(counted.tasks) == 2
    note = tmp_path / "out" / NOTE_NAME
    text = json.loads(note.read_text())
    text["tasks"]["STSBenchmark"]["versions"]["torch"] = "1.0"
    note.write_text(json.dumps(text))
    _run(tiny_base, _TASKS[:1], own, tmp_path / "out")
    assert len(counted.tasks) == 3


def test_a_kill_between_two_tasks_loses_no_score(
    tiny_base: Path, mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(encoder: Any, task: str, **settings: Any) -> list[Score]:
        if task == "SciFact":
            raise KeyboardInterrupt
        return evaluate_mteb(encoder, task, **settings)

    monkeypatch.setattr(foreign, "evaluate_mteb", killed)
    with pytest.raises(KeyboardInterrupt):
        _run(tiny_base, _TASKS, mirror, tmp_path)
    monkeypatch.setattr(foreign, "evaluate_mteb", evaluate_mteb)
    counted = Counted(monkeypatch)
    scores = _run(tiny_base, _TASKS, mirror, tmp_path)
    assert counted.tasks == ["SciFact"]
    assert {score.task for score in scores if score.state == "ok"} == set(_TASKS)


def test_two_models_never_share_a_folder(tiny_base: Path, mirror: Path, tmp_path: Path) -> None:
    _run(tiny_base, _TASKS[:1], mirror, tmp_path)
    before = (tmp_path / SCORES_NAME).read_bytes()
    with pytest.raises(HarnessError, match=r"holds the scores of model local/.*, not of .*bm25"):
        evaluate_model("bm25", _TASKS[1:], mirrors=[mirror], output=tmp_path)
    (tmp_path / NOTE_NAME).unlink()
    with pytest.raises(HarnessError, match="model unknown"):
        _run(tiny_base, _TASKS[:1], mirror, tmp_path)
    assert (tmp_path / SCORES_NAME).read_bytes() == before
