"""`harness doctor`: facts and probes of one model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from harness.cli.main import app
from harness.data.pair_sets import write_pairs
from harness.data.pairs import Pair
from tests.models.tiny import make_tiny
from tests.training.adapters import train_adapter


@pytest.fixture(scope="module")
def trained(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("doctor")
    names = ("river", "lamp", "budget", "film")
    write_pairs(
        folder / "pairs.arrow",
        [Pair(query=name, positive=f"the {name}", negatives=(f"no {name}",)) for name in names],
    )
    return train_adapter(tiny_base, folder / "pairs.arrow", folder)


def _examine(*arguments: str) -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(app, ["doctor", *arguments, "--device", "cpu", "--json"])
    return done.exit_code, json.loads(done.stdout)


def _failed(found: dict[str, Any]) -> dict[str, str]:
    return {item["check"]: item["message"] for item in found["checks"] if item["message"]}


def test_a_sound_base_passes_and_is_described(tiny_checkpoint: Path) -> None:
    code, found = _examine(str(tiny_checkpoint), "--template", "chat")
    assert (code, _failed(found)) == (0, {})
    facts = found["facts"]
    assert (facts["layers"], facts["width"], facts["vocabulary"]) == (2, 32, 512)
    assert (facts["anchor"], facts["attention"], facts["tied_head"]) == ("<|end|> (2)", "causal", True)
    assert facts["reconstruction"] == "possible"
    # Rank 16 on all projections: q and o 32x32, k and v 32x16, three of 32x64, in two layers.
    assert facts["lora_parameters"] == 2 * 16 * (2 * 64 + 2 * 48 + 3 * 96)
    assert facts["lora_bytes"] == 16 * facts["lora_parameters"]
    assert {item["check"] for item in found["checks"]} >= {
        "anchor ends every text",
        "attention as declared",
        "padding moves no embedding",
        "prompts as declared",
        "labels, and loss in float32",
        "gradient cache equals one pass",
        "every adapter factor learns",
    }


def test_a_trained_folder_is_checked_with_its_adapter(trained: Path) -> None:
    code, found = _examine(str(trained))
    assert (code, _failed(found)) == (0, {})
    assert found["facts"]["adapter"] == "beside the weights, applied"
    checks = [item["check"] for item in found["checks"]]
    assert {"adapter is applied", "embeddings as stored", "adapter merges faithfully"} < set(checks)


def test_the_table_says_the_same_for_people(trained: Path) -> None:
    done = CliRunner().invoke(app, ["doctor", str(trained), "--device", "cpu"])
    assert done.exit_code == 0
    assert "beside the weights, applied" in done.stdout
    assert "OK      adapter is applied" in done.stdout
    assert "failed" not in done.stdout


def test_a_variant_in_the_store_is_found_by_its_slug(trained: Path, tmp_path: Path) -> None:
    fingerprint = "0123456789ab" + 52 * "c"
    shutil.copytree(trained, tmp_path / "artifacts" / "contrast" / fingerprint)
    for name in ("tiny-0123456789ab", fingerprint):
        code, found = _examine(name, "--home", str(tmp_path))
        assert code == 0
        assert found["facts"]["adapter"] == "beside the weights, applied"


def test_an_encoder_is_told_to_have_no_reconstruction(tmp_path: Path) -> None:
    make_tiny(tmp_path / "bert", "bert")
    code, found = _examine(str(tmp_path / "bert"))
    assert code == 0
    assert found["facts"]["reconstruction"].startswith("impossible: an encoder")
    assert found["facts"]["attention"] == "bidirectional"


def test_a_lost_adapter_fails_with_a_cure(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "adapter")
    code, found = _examine(str(tmp_path / "copy"))
    assert code == 1
    assert "adapter is not there" in _failed(found)["opens"]
    assert found["checks"][0]["cure"]


def test_a_base_with_dead_attention_fails(tiny_checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_checkpoint, tmp_path / "copy")
    path = tmp_path / "copy" / "model.safetensors"
    weights = load_file(path)
    for name in weights:
        if name.endswith("o_proj.weight"):
            weights[name].zero_()
    save_file(weights, path, metadata={"format": "pt"})
    code, found = _examine(str(tmp_path / "copy"))
    assert code == 1
    assert "cut off" in _failed(found)["attention as declared"]
    # Nothing is trained on a model that has failed.
    assert "every adapter factor learns" not in {item["check"] for item in found["checks"]}
