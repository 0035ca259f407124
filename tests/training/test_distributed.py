"""Two ranks on the processor train what one rank trains, whichever way they share the model."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from harness.data.pair_sets import write_pairs
from harness.errors import HarnessError
from harness.models.bases import prepare_base
from harness.models.embedder import Embedder
from harness.models.network import load_network
from harness.models.saving import save_network
from harness.study.document import Resources
from harness.study.recipe import ModelConfig, PromptConfig
from harness.training.distributed import rank_device
from harness.training.processes import run_ranks
from harness.training.stage import run_stage
from tests.models.tiny import make_tiny_llama
from tests.training.conftest import make_pairs
from tests.training.shared_training import (
    CASES,
    ENOUGH_TOKENS,
    KILLED_AT,
    RESUMED,
    make_hungry,
    make_job,
    place,
    train_all,
    train_case,
)

_RESUMED = "contrastive LoRA, cached"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bases, in float64 so that equal means equal, and the runs of all cases on two ranks."""
    folder = tmp_path_factory.mktemp("ranks")
    write_pairs(folder / "pairs.arrow", make_pairs())
    for name, is_tied, dtype in (
        ("base", True, torch.float64),
        ("untied", False, torch.float64),
        ("bfloat16", True, torch.bfloat16),
    ):
        make_tiny_llama(folder / f"{name}-raw", is_tied=is_tied)
        prepare_base(
            config=ModelConfig(base="tiny-llama", max_length=64),
            prompts=PromptConfig(),
            checkpoint=folder / f"{name}-raw",
            gguf=None,
            output=folder / f"{name}-float32",
        )
        network = load_network(folder / f"{name}-float32", device="cpu", with_head=True)
        network.whole.to(dtype)
        save_network(network, folder / name)
    said: list[str] = []
    run_ranks(partial(train_all, folder), num_ranks=2, report=said.append)
    ways = ("fsdp then fsdp", "ddp then ddp", "fsdp then ddp", "fsdp then one")
    assert said == ["listens on 127.0.0.1", *[f"{way}: killed" for way in ways]]
    return folder


def _curve(scratch: Path, name: str = "loss") -> list[float]:
    lines = (scratch / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)[name] for line in lines]


def _measures(scratch: Path) -> list[dict[str, float]]:
    """Return the held-out measures of each step that has some."""
    lines = [json.loads(line) for line in (scratch / "metrics.jsonl").read_text().splitlines()]
    found = [{name: row[name] for name in row if name.startswith("validation_")} for row in lines]
    return [measures for measures in found if measures]


def _weights(scratch: Path) -> dict[str, torch.Tensor]:
    """Return the weights that the ranks left behind."""
    newest = max((scratch / "checkpoints").glob("step-*"))
    tensors = load_file(newest / "tensors.safetensors")
    return {name.removeprefix("weight/"): value for name, value in tensors.items()}


@pytest.fixture(scope="module", params=list(CASES))
def alone(request: pytest.FixtureRequest, desk: Path) -> tuple[str, Path, dict[str, torch.Tensor]]:
    """A case on one rank: its name, folder and trained weights."""
    case, scratch = CASES[request.param], place(desk, request.param, "alone")
    network = train_case(case, desk, scratch=scratch)
    trained = {
        name: value.detach() for name, value in network.whole.named_parameters() if value.requires_grad
    }
    return request.param, scratch, trained


@pytest.mark.parametrize("way", ["ddp", "fsdp"])
def test_ranks_have_the_curve_and_weights_of_one(
    way: str, alone: tuple[str, Path, dict[str, torch.Tensor]], desk: Path
) -> None:
    name, scratch, trained = alone
    together = place(desk, name, way)
    for curve in ("loss", "grad_norm"):
        assert _curve(together, curve) == pytest.approx(_curve(scratch, curve), rel=1e-9)
    weights = _weights(together)
    assert set(trained) <= set(weights)
    for name, value in trained.items():
        torch.testing.assert_close(weights[name], value, rtol=0, atol=1e-8)


@pytest.mark.parametrize("way", ["ddp", "fsdp"])
def test_ranks_measure_what_one_does_and_choose_the_same_step(
    way: str, alone: tuple[str, Path, dict[str, torch.Tensor]], desk: Path
) -> None:
    name, scratch, _ = alone
    measures, together = _measures(scratch), _measures(place(desk, name, way))
    assert len(measures) == len(together) == (CASES[name].validation is not None) * 5
    for mine, theirs in zip(measures, together, strict=True):
        assert theirs == pytest.approx(mine, rel=1e-9, abs=1e-9)
    if measures:
        best = measures[-1]["validation_best_step"]
        folders = (place(desk, name, way) / "checkpoints").glob("best-*")
        assert f"best-{best:08d}" in {folder.name for folder in folders}


def test_vectors_gathered_in_the_wrong_order_would_show(desk: Path) -> None:
    right, wrong = (_curve(place(desk, name, "ddp")) for name in (_RESUMED, "crossed"))
    # The batch's vectors change places before the first step already.
    assert abs(wrong[0] - right[0]) > 0.01


@pytest.mark.parametrize("way", ["fsdp", "ddp"])
def test_ranks_that_were_killed_go_on_bit_for_bit(way: str, desk: Path) -> None:
    whole = place(desk, _RESUMED, way)
    resumed = place(desk, "resumed", f"{way} then {way}")
    assert _curve(resumed) == _curve(whole)
    assert _measures(resumed) == _measures(whole)
    # Else the last step's weights would be the same as the best's.
    assert _measures(whole)[-1]["validation_best_step"] < 5
    expected = _weights(whole)
    for name, value in _weights(resumed).items():
        assert value.equal(expected[name]), name


def test_what_shards_wrote_goes_on_as_copies(desk: Path) -> None:
    whole = _curve(place(desk, _RESUMED, "ddp"))
    assert _curve(place(desk, "resumed", "fsdp then ddp")) == pytest.approx(whole, rel=1e-9)


def test_what_shards_wrote_goes_on_alone(desk: Path) -> None:
    scratch = place(desk, "resumed", "fsdp then one")
    assert len(_curve(scratch)) == KILLED_AT
    train_case(RESUMED, desk, scratch=scratch)
    whole = place(desk, _RESUMED, "fsdp")
    assert _curve(scratch) == pytest.approx(_curve(whole), rel=1e-9)
    for mine, theirs in zip(_measures(scratch), _measures(whole), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-9)


def test_a_base_in_sixteen_bits_and_its_adapters_share_a_unit(desk: Path) -> None:
    copies, shards = (_curve(place(desk, "16 bits", way)) for way in ("ddp", "fsdp"))
    assert shards == pytest.approx(copies, rel=2e-2)
    dtypes = {value.dtype for value in _weights(place(desk, "16 bits", "fsdp")).values()}
    assert dtypes == {torch.float32}


def test_a_stage_on_ranks_leaves_the_folder_of_one_and_survives_a_lack_of_memory(desk: Path) -> None:
    case = replace(RESUMED, base="base-float32", memory_gib=None)
    said: list[str] = []
    folders = []
    for way, resources in (
        ("one", Resources()),
        ("two", Resources(ranks=2, cpus=2, strategy="fsdp", micro_batch=2 * ENOUGH_TOKENS)),
    ):
        job = make_job(case, desk, scratch=place(desk, "stage", way))
        run_stage(job, make_hungry, resources=resources, device="cpu", report=said.append)
        folders.append(job.output)
    assert f"memory ran out on a rank; starting again with sub-batches of {ENOUGH_TOKENS} tokens" in said
    assert said.count("going on from step 2") == 1
    alone, together = (Embedder.load(folder, device="cpu") for folder in folders)
    texts = ["What about the lamp?", "river"]
    assert np.abs(alone.encode(texts) - together.encode(texts)).max() < 1e-5
    assert _curve(folders[1]) == pytest.approx(_curve(folders[0]), rel=1e-5)
    assert {path.name for path in folders[0].iterdir()} == {path.name for path in folders[1].iterdir()}
    left = [json.loads((folder / "harness_training.json").read_text()) for folder in folders]
    assert left[0]["step"] == left[1]["step"] == left[1]["best_step"] < left[1]["num_steps"]
    assert left[1]["measures"] == pytest.approx(left[0]["measures"], rel=1e-4)


def test_the_last_checkpoint_holds_no_optimiser(desk: Path) -> None:
    newest = max((place(desk, _RESUMED, "fsdp") / "checkpoints").glob("step-*"))
    assert {name.split("/")[0] for name in load_file(newest / "tensors.safetensors")} == {"weight"}


def test_ranks_without_a_device_each_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(
        HarnessError, match="2 ranks want a CUDA device each, this step sees 1"
    ) as caught:
        rank_device("auto", rank=1, num_ranks=2)
    assert "resources.train.gpus: 2" in caught.value.cure
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert rank_device("auto", rank=1, num_ranks=2) == torch.device("cuda", 1)
