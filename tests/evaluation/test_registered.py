"""Whatever mteb.get_model gives is scored as mteb scores it."""

from __future__ import annotations

from pathlib import Path

import mteb
import numpy as np
import pytest
from mteb.models.model_implementations.random_baseline import RandomEncoderBaseline

from harness.errors import HarnessError
from harness.evaluation.foreign import evaluate_model
from harness.evaluation.mirror import use_mirrors
from harness.evaluation.registered import is_registered, registered_model

_RANDOM = "mteb/baseline-random-encoder"
_TASKS = ("STSBenchmark", "SciFact", "Banking77Classification")


def test_mteb_knows_its_own_and_no_other_names() -> None:
    assert is_registered(_RANDOM)
    assert is_registered("intfloat/e5-mistral-7b-instruct")
    assert not is_registered("nobody/has-this")
    assert not is_registered("/some/folder")


def test_scores_are_those_of_mtebs_own_model(mirror: Path, tmp_path: Path) -> None:
    scores = evaluate_model(_RANDOM, _TASKS, mirrors=[mirror], output=tmp_path)
    mains = {score.task: score for score in scores if score.is_main}
    for task in _TASKS:
        # A fresh model a task: this one draws its vectors.
        with use_mirrors([mirror]):
            stock = mteb.evaluate(
                mteb.get_model(_RANDOM),
                mteb.get_task(task),
                cache=None,
                co2_tracker=False,
                show_progress_bar=False,
            ).task_results[0]
        assert mains[task].state == "ok", mains[task].reason
        assert mains[task].value == pytest.approx(stock.get_score(), abs=1e-6)
        assert set(mains[task].prompts.values()) == {f"<as mteb loads {_RANDOM}>"}
        assert mains[task].prompt_hash
    assert mains["STSBenchmark"].source.startswith("results/mteb__baseline-random-encoder/")


def test_its_embeddings_are_looked_at_too(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = RandomEncoderBaseline.encode

    def spoiled(self: RandomEncoderBaseline, *args: object, **settings: object) -> np.ndarray:
        vectors = np.array(encode(self, *args, **settings))
        vectors[0] = np.nan
        return vectors

    monkeypatch.setattr(RandomEncoderBaseline, "encode", spoiled)
    (score,) = evaluate_model(_RANDOM, ["STSBenchmark"], mirrors=[mirror], output=tmp_path)
    assert score.state == "failed"
    assert "are not finite numbers" in score.reason


def test_a_model_that_does_not_load_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ImportError("No module named 'rare'")

    monkeypatch.setattr(RandomEncoderBaseline, "__init__", broken)
    with pytest.raises(
        HarnessError, match="mteb knows it, and it does not load: ImportError: No module"
    ):
        registered_model(_RANDOM)
