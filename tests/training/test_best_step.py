"""A stage leaves its last step or its best, knows which, and a kill changes nothing of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.errors import HarnessError
from harness.identity import file_sha256
from harness.models.merging import merge_adapter
from harness.models.network import load_network
from harness.study.document import Resources
from harness.study.recipe import (
    ContrastiveConfig,
    PromptConfig,
    ReconstructionConfig,
    TuningConfig,
    ValidationConfig,
)
from harness.training.contrastive_measure import ContrastiveMeasure
from harness.training.held_out import divide_pairs
from harness.training.job import TrainingJob
from harness.training.measures import make_selection
from harness.training.memory import MicroBatch
from harness.training.ranks import ONE_RANK
from harness.training.train import train
from tests.training.conftest import make_pairs

_PROMPTS = PromptConfig(query="query: ")
_HELD_OUT = ValidationConfig(pairs=4)
_COMMON: dict[str, Any] = {
    "steps": 7,
    "global_batch": 4,
    "warmup_steps": 2,
    "query_length": 12,
    "document_length": 20,
    "validate_every": 1,
    "keep": "best",
}
_CONTRASTIVE = ContrastiveConfig(
    num_negatives=1,
    temperature=0.1,
    learning_rate=1e-2,
    tuning=TuningConfig(rank=4, alpha=8, dropout=0.2),
    **_COMMON,
)
_RECONSTRUCTION = ReconstructionConfig(learning_rate=0.5, **_COMMON)
_STAGES: dict[str, ContrastiveConfig | ReconstructionConfig] = {
    "contrastive": _CONTRASTIVE,
    "reconstruction": _RECONSTRUCTION,
}
_FILES = ("model.safetensors", "harness_model.json", "harness_training.json")


class _Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def run(tiny_base: Path, pairs_file: Path, tmp_path: Path) -> Callable[..., tuple[Path, list[str]]]:
    """Return a function that runs a stage in a folder of this test."""

    def go(
        config: ContrastiveConfig | ReconstructionConfig,
        *,
        name: str = "run",
        kill_after: int | None = None,
        validation: ValidationConfig | None = _HELD_OUT,
    ) -> tuple[Path, list[str]]:
        said: list[str] = []

        def report(line: str) -> None:
            said.append(line)
            if kill_after is not None and line.startswith(f"step {kill_after}/"):
                raise _Killed

        job = TrainingJob(
            base=tiny_base,
            pairs=pairs_file,
            config=config,
            prompts=_PROMPTS,
            validation=validation,
            seed=1,
            output=tmp_path / name / "output",
            scratch=tmp_path / name / "scratch",
            checkpoint_every=2,
        )
        if kill_after is None:
            train(job, Resources(cpus=1), device="cpu", report=report)
        else:
            with pytest.raises(_Killed):
                train(job, Resources(cpus=1), device="cpu", report=report)
        return tmp_path / name, said

    return go


def _rows(folder: Path) -> list[dict[str, float]]:
    """Return the lines of the curves without what depends on the machine."""
    machine = {"seconds", "tokens_per_second", "peak_memory_gib"}
    lines = (folder / "output" / "metrics.jsonl").read_text().splitlines()
    return [
        {name: value for name, value in json.loads(line).items() if name not in machine}
        for line in lines
    ]


def _outcome(folder: Path) -> dict[str, Any]:
    outcome: dict[str, Any] = json.loads((folder / "output" / "harness_training.json").read_text())
    return outcome


def _hashes(folder: Path) -> dict[str, str]:
    files = [*_FILES, "adapter/adapter_model.safetensors"]
    return {
        name: file_sha256(folder / "output" / name)
        for name in files
        if (folder / "output" / name).exists()
    }


def _measured(folder: Path, config: ContrastiveConfig | ReconstructionConfig) -> dict[str, float]:
    """Measure a trained folder afresh."""
    with_head = isinstance(config, ReconstructionConfig)
    network = merge_adapter(load_network(folder / "output", device="cpu", with_head=with_head))
    pairs = make_pairs()
    return make_selection(
        replace(network, prompts=_PROMPTS),
        pairs,
        divide_pairs(pairs, _HELD_OUT, global_batch=4),
        config,
        projection=None,
        micro_batch=MicroBatch(tokens=1 << 20, graph_tokens=0),
        ranks=ONE_RANK,
    ).take()


@pytest.mark.parametrize("stage", list(_STAGES))
def test_the_folder_holds_the_step_with_the_lowest_loss(stage: str, run: Any) -> None:
    folder, said = run(_STAGES[stage])
    rows, outcome = _rows(folder), _outcome(folder)
    losses = [row["validation_loss"] for row in rows]
    best = losses.index(min(losses)) + 1
    # Else it would not be seen whether the best or the last were taken.
    assert best < len(losses)
    assert (outcome["step"], outcome["best_step"], outcome["num_steps"]) == (best, best, 7)
    assert outcome["measures"]["validation_loss"] == min(losses)
    assert rows[-1]["validation_best_step"] == best
    assert _measured(folder, _STAGES[stage])["loss"] == pytest.approx(min(losses), rel=1e-5)
    assert any(line.startswith(f"the weights are those after step {best} of 7") for line in said)
    assert "4 pairs are held out, 8 train" in said
    assert not [row for row in rows if "validation_loss" not in row]


def test_the_last_step_is_left_where_nothing_else_is_asked(run: Any) -> None:
    config = replace(_CONTRASTIVE, keep="last", validate_every=3)
    folder, _ = run(config)
    rows, outcome = _rows(folder), _outcome(folder)
    assert [row["step"] for row in rows if "validation_loss" in row] == [2, 5, 6]
    assert outcome["step"] == 7
    assert outcome["best_step"] == 3
    assert outcome["best_measures"]["validation_loss"] == rows[2]["validation_loss"]
    assert _measured(folder, config)["loss"] == pytest.approx(rows[6]["validation_loss"], rel=1e-5)
    # Nobody will ask for the weights of that step.
    assert not list((folder / "scratch" / "checkpoints").glob("best-*"))


def test_measuring_changes_no_weight(run: Any) -> None:
    often, _ = run(replace(_CONTRASTIVE, keep="last"), name="often")
    seldom, _ = run(replace(_CONTRASTIVE, keep="last", validate_every=100), name="seldom")
    name = "adapter/adapter_model.safetensors"
    assert _hashes(often)[name] == _hashes(seldom)[name]


@pytest.mark.parametrize("stage", list(_STAGES))
def test_killed_anywhere_it_goes_on_to_the_same_best_bit_for_bit(stage: str, run: Any) -> None:
    whole, _ = run(_STAGES[stage], name="whole")
    best = _outcome(whole)["step"]
    # After the best step's weights were written and before any checkpoint knows of them; and later.
    for step in sorted({1, best, best + 1, 7}):
        run(_STAGES[stage], name=f"cut-{step}", kill_after=step)
        cut, _ = run(_STAGES[stage], name=f"cut-{step}")
        assert _hashes(cut) == _hashes(whole)
        assert _rows(cut) == _rows(whole)


def test_damaged_weights_of_the_best_step_are_made_again(run: Any) -> None:
    whole, _ = run(_CONTRASTIVE, name="whole")
    run(_CONTRASTIVE, kill_after=7)
    (best,) = (whole.parent / "run" / "scratch" / "checkpoints").glob("best-*")
    tensors = best / "tensors.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-1] + b"\x00\x01")
    cut, said = run(_CONTRASTIVE)
    assert "checkpoint step-00000006 is not used: its tensors are damaged" in said
    assert _hashes(cut) == _hashes(whole)


def test_a_lack_of_memory_while_measuring_is_survived(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = run(_CONTRASTIVE, name="whole")
    tried: list[int] = []
    original = ContrastiveMeasure.__call__

    def hungry(self: Any) -> dict[str, float]:
        tried.append(self._micro_batch.tokens)
        if len(tried) == 2:
            raise torch.OutOfMemoryError("planted")
        return original(self)

    monkeypatch.setattr(ContrastiveMeasure, "__call__", hungry)
    folder, said = run(_CONTRASTIVE)
    assert tried[2] == tried[1] // 2
    assert any(line.startswith("memory ran out; going on") for line in said)
    assert _outcome(folder)["step"] == _outcome(whole)["step"]
    losses = [[row["validation_loss"] for row in _rows(each)] for each in (folder, whole)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_no_finite_measure_is_no_best_step(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ContrastiveMeasure, "__call__", lambda self: {"loss": float("nan"), "mrr": 0.5})
    with pytest.raises(HarnessError, match="no step had a finite loss on the held-out pairs"):
        run(_CONTRASTIVE, name="best")
    folder, said = run(replace(_CONTRASTIVE, keep="last"), name="last")
    assert sum("held-out measures after step" in line for line in said) == 7
    assert _outcome(folder)["best_step"] is None
    assert _outcome(folder)["measures"] == {"validation_mrr": 0.5}


def test_the_best_without_held_out_pairs_is_refused(run: Any) -> None:
    with pytest.raises(HarnessError, match="`keep: best` needs pairs that are held out") as caught:
        run(_CONTRASTIVE, validation=None)
    assert "data.validation" in caught.value.cure


def test_without_held_out_pairs_nothing_is_said_of_them(run: Any) -> None:
    config = replace(_CONTRASTIVE, keep="last", validate_every=None)
    folder, _ = run(config, validation=None)
    assert not (folder / "output" / "harness_training.json").exists()
    assert not [name for row in _rows(folder) for name in row if name.startswith("validation")]
