"""Both stages from a base folder to a trained folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from harness.data.pair_sets import write_pairs
from harness.data.pairs import Pair
from harness.errors import DataError, ProbeError
from harness.identity import file_sha256, tree_sha256
from harness.models.embedder import Embedder
from harness.models.network import load_network
from harness.study.document import Resources
from harness.study.recipe import ContrastiveConfig, PromptConfig, ReconstructionConfig, TuningConfig
from harness.training.job import TrainingJob
from harness.training.train import train

_PROMPTS = PromptConfig(query="query: ", document="")
_LORA = TuningConfig(method="lora", rank=4, alpha=8, dropout=0.2)
_STAGES: dict[str, Any] = {
    "reconstruction": ReconstructionConfig(
        steps=7,
        global_batch=4,
        learning_rate=1e-2,
        warmup_steps=2,
        query_length=12,
        document_length=20,
        tuning=_LORA,
    ),
    "contrastive": ContrastiveConfig(
        steps=7,
        global_batch=4,
        num_negatives=1,
        temperature=0.1,
        learning_rate=1e-2,
        warmup_steps=2,
        query_length=12,
        document_length=20,
        tuning=_LORA,
    ),
}


_ONE_THREAD = Resources(cpus=1)


class _Killed(BaseException):
    """Stands for the end of the process."""


def _train(
    stage: str,
    base: Path,
    pairs: Path,
    folder: Path,
    *,
    report: Callable[[str], None] = lambda line: None,
    seed: int = 1,
    resources: Resources = _ONE_THREAD,
    **changes: Any,
) -> Path:
    job = TrainingJob(
        base=base,
        pairs=pairs,
        config=replace(_STAGES[stage], **changes),
        prompts=_PROMPTS,
        seed=seed,
        output=folder / "output",
        scratch=folder / "scratch",
        checkpoint_every=2,
    )
    train(job, resources, device="cpu", report=report)
    return folder / "output"


@pytest.fixture(scope="module", params=list(_STAGES))
def trained(
    request: pytest.FixtureRequest,
    tiny_base: Path,
    pairs_file: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, _train(request.param, tiny_base, pairs_file, folder)


def test_a_killed_run_goes_on_to_the_same_bytes(
    trained: tuple[str, Path], tiny_base: Path, pairs_file: Path, tmp_path: Path
) -> None:
    stage, uninterrupted = trained

    def kill(line: str) -> None:
        if line.startswith("step 6/"):
            raise _Killed

    with pytest.raises(_Killed):
        _train(stage, tiny_base, pairs_file, tmp_path, report=kill)
    assert not (tmp_path / "output").exists()
    torch.rand(3)
    said: list[str] = []
    resumed = _train(stage, tiny_base, pairs_file, tmp_path, report=said.append)
    assert "going on from step 4" in said
    for name in ("model.safetensors", "adapter/adapter_model.safetensors", "harness_model.json"):
        assert file_sha256(resumed / name) == file_sha256(uninterrupted / name)
    steps = [json.loads(line)["step"] for line in (resumed / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(7))


def test_the_same_arguments_give_the_same_folder_whatever_ran_before(
    trained: tuple[str, Path], tiny_base: Path, pairs_file: Path, tmp_path: Path
) -> None:
    stage, first = trained
    torch.manual_seed(12345)
    np.random.default_rng(0).random(7)
    second = _train(stage, tiny_base, pairs_file, tmp_path)
    for folder in (first, second):
        shutil.copytree(folder, tmp_path / "plain" / folder.parent.name)
        # Times are told there.
        (tmp_path / "plain" / folder.parent.name / "metrics.jsonl").unlink()
    assert tree_sha256(tmp_path / "plain" / first.parent.name) == tree_sha256(
        tmp_path / "plain" / second.parent.name
    )


def test_another_seed_gives_another_model(
    trained: tuple[str, Path], tiny_base: Path, pairs_file: Path, tmp_path: Path
) -> None:
    stage, first = trained
    other = _train(stage, tiny_base, pairs_file, tmp_path, seed=2)
    name = "adapter/adapter_model.safetensors"
    assert file_sha256(first / name) != file_sha256(other / name)


def test_training_leaves_the_callers_random_state_alone(
    tiny_base: Path, pairs_file: Path, tmp_path: Path
) -> None:
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    _train("contrastive", tiny_base, pairs_file, tmp_path, steps=1)
    assert torch.rand(2).equal(expected)


def test_sentence_transformers_gives_the_same_vectors(
    trained: tuple[str, Path], tiny_base: Path
) -> None:
    _, folder = trained
    texts = ["river", "", "The committee will meet again. " * 40, "What about the lamp?"]
    model = SentenceTransformer(str(folder), device="cpu")
    embedder = Embedder.load(folder, device="cpu")
    for name, prompt in (("query", "query: "), ("document", "")):
        ours, theirs = embedder.encode(texts, prompt=prompt), model.encode(texts, prompt_name=name)
        assert (ours * theirs).sum(axis=1).min() >= 0.9999
    base = Embedder.load(tiny_base, device="cpu")
    assert np.abs(base.encode(texts) - embedder.encode(texts)).max() > 1e-3


def test_the_loss_falls(
    trained: tuple[str, Path], tiny_base: Path, pairs_file: Path, tmp_path: Path
) -> None:
    stage, _ = trained
    output = _train(stage, tiny_base, pairs_file, tmp_path, steps=30, tuning=TuningConfig(method="full"))
    losses = [json.loads(line)["loss"] for line in (output / "metrics.jsonl").read_text().splitlines()]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert not (output / "adapter").exists()


def test_full_training_goes_on_bit_for_bit_too(
    tiny_base: Path, pairs_file: Path, tmp_path: Path
) -> None:
    full = TuningConfig(method="full")
    whole = _train("reconstruction", tiny_base, pairs_file, tmp_path / "whole", tuning=full)

    def kill(line: str) -> None:
        if line.startswith("step 4/"):
            raise _Killed

    with pytest.raises(_Killed):
        _train("reconstruction", tiny_base, pairs_file, tmp_path / "cut", report=kill, tuning=full)
    resumed = _train("reconstruction", tiny_base, pairs_file, tmp_path / "cut", tuning=full)
    assert file_sha256(whole / "model.safetensors") == file_sha256(resumed / "model.safetensors")


def test_stage_two_trains_what_stage_one_made(tiny_base: Path, pairs_file: Path, tmp_path: Path) -> None:
    first = _train(
        "reconstruction", tiny_base, pairs_file, tmp_path / "1", tuning=TuningConfig(method="full")
    )
    second = _train("contrastive", first, pairs_file, tmp_path / "2")
    assert load_network(first, device="cpu", with_head=True).head_weight().shape == (512, 32)
    assert Embedder.load(second, device="cpu").prompts == _PROMPTS


def test_a_training_that_changes_nothing_is_refused(
    tiny_base: Path, pairs_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.optim.AdamW.step", lambda self: None)
    with pytest.raises(ProbeError, match="training did not change the model"):
        _train(
            "reconstruction",
            tiny_base,
            pairs_file,
            tmp_path,
            steps=1,
            tuning=TuningConfig(method="full"),
        )


def test_a_batch_of_one_without_negatives_does_not_learn_and_says_so(
    tiny_base: Path, pairs_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(ProbeError, match="does not learn"):
        _train("contrastive", tiny_base, pairs_file, tmp_path, global_batch=1, num_negatives=0)


def test_a_pair_without_enough_negatives_is_named(tiny_base: Path, tmp_path: Path) -> None:
    path = tmp_path / "pairs.arrow"
    write_pairs(path, [Pair(query=f"q{number}", positive=f"p{number}") for number in range(4)])
    with pytest.raises(DataError, match="pair 1 of the set has 0 hard negatives; num_negatives is 1"):
        _train("contrastive", tiny_base, path, tmp_path)


def test_a_head_that_scales_is_refused(tiny_base: Path, pairs_file: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_base, base)
    settings = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**settings, "final_logit_softcapping": 30.0}))
    with pytest.raises(DataError, match="final_logit_softcapping"):
        _train("reconstruction", base, pairs_file, tmp_path)


def test_the_share_of_masked_negatives_is_logged(tiny_base: Path, tmp_path: Path) -> None:
    path = tmp_path / "pairs.arrow"
    positives = ["the same answer", "the same answer", "another", "a third"]
    write_pairs(path, [Pair(query=f"question {n}", positive=text) for n, text in enumerate(positives)])
    output = _train("contrastive", tiny_base, path, tmp_path, global_batch=4, num_negatives=0, steps=2)
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    # Of the twelve other positives two have the text of the own one.
    assert [line["masked_share"] for line in lines] == pytest.approx([2 / 12, 2 / 12])
