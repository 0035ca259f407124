"""Adapters beside their base's weights: applied by every library, and merged on request."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraModel, PeftModel
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from transformers import AutoModel

from harness.errors import DataError, ProbeError
from harness.identity import file_sha256
from harness.models import merging
from harness.models.bases import prepare_base
from harness.models.embedder import Embedder
from harness.models.folder import read_manifest, weights_id
from harness.models.merging import merge_adapter
from harness.models.network import load_network
from harness.study.recipe import (
    ModelConfig,
    PromptConfig,
    ReconstructionConfig,
    TuningConfig,
)
from tests.models.tiny import make_tiny
from tests.training.adapters import LORA, train_adapter

_TEXTS = ["river", "", "The committee will meet again. " * 40, "What about the lamp?"]
_RECONSTRUCTION = ReconstructionConfig(
    steps=3,
    global_batch=4,
    learning_rate=1e-2,
    warmup_steps=1,
    query_length=12,
    document_length=20,
    tuning=LORA,
)


def _base(folder: Path, family: str = "llama", **settings: Any) -> Path:
    make_tiny(folder / "raw", family, **settings.pop("raw", {}))
    prepare_base(
        config=ModelConfig(base=family, max_length=64, **settings),
        prompts=PromptConfig(),
        checkpoint=folder / "raw",
        gguf=None,
        output=folder / "base",
    )
    return folder / "base"


@pytest.fixture(scope="module")
def trained(tiny_base: Path, pairs_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_adapter(tiny_base, pairs_file, tmp_path_factory.mktemp("adapter"))


def test_the_folder_holds_the_bases_own_weights(trained: Path, tiny_base: Path) -> None:
    for name in ("model.safetensors", "config.json"):
        assert file_sha256(trained / name) == file_sha256(tiny_base / name)
    assert (trained / "model.safetensors").samefile(tiny_base / "model.safetensors")
    assert read_manifest(trained).merged is False
    assert read_manifest(tiny_base).merged is None
    assert weights_id(trained) != weights_id(tiny_base)


def test_weights_are_copied_where_they_cannot_be_linked(
    tiny_base: Path, pairs_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("cross-device link")

    monkeypatch.setattr("os.link", refuse)
    folder = train_adapter(tiny_base, pairs_file, tmp_path)
    assert not (folder / "model.safetensors").samefile(tiny_base / "model.safetensors")
    Embedder.load(folder, device="cpu")


def test_every_library_applies_the_adapter(trained: Path, tiny_base: Path) -> None:
    embedder = Embedder.load(trained, device="cpu")
    ours = embedder.encode(_TEXTS)
    assert np.abs(Embedder.load(tiny_base, device="cpu").encode(_TEXTS) - ours).max() > 1e-3
    theirs = SentenceTransformer(str(trained), device="cpu").encode(_TEXTS, prompt="")
    np.testing.assert_allclose(theirs, ours, atol=1e-6)
    model = AutoModel.from_pretrained(trained, adapter_kwargs={"subfolder": "adapter"})
    peft = PeftModel.from_pretrained(AutoModel.from_pretrained(tiny_base), trained / "adapter")
    (row,) = load_network(trained, device="cpu").tokenizer.tokenise(_TEXTS[3:], 64)
    with torch.no_grad():
        for other in (model, peft):
            hidden = other.eval()(input_ids=torch.tensor([row])).last_hidden_state[0, -1]
            vector = torch.nn.functional.normalize(hidden, dim=-1).numpy()
            np.testing.assert_allclose(vector, ours[3], atol=1e-6)


def test_merging_on_request_gives_plain_weights(
    trained: Path, tiny_base: Path, pairs_file: Path, tmp_path: Path
) -> None:
    folder = train_adapter(tiny_base, pairs_file, tmp_path, tuning=replace(LORA, merge=True))
    assert read_manifest(folder).merged is True
    assert (folder / "adapter" / "adapter_model.safetensors").is_file()
    assert load_network(folder, device="cpu").adapted is None
    ours = Embedder.load(folder, device="cpu").encode(_TEXTS)
    np.testing.assert_allclose(Embedder.load(trained, device="cpu").encode(_TEXTS), ours, atol=1e-5)
    theirs = SentenceTransformer(str(folder), device="cpu").encode(_TEXTS, prompt="")
    np.testing.assert_allclose(theirs, ours, atol=1e-6)


def test_a_merge_that_is_not_faithful_is_refused(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = load_network(trained, device="cpu")
    assert network.adapted is not None
    monkeypatch.setattr(network.adapted, "merge_and_unload", network.adapted.unload)
    with pytest.raises(ProbeError, match="the merged weights differ"):
        merge_adapter(network)


def test_encoding_merges_in_memory_and_only_faithfully(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merged = Embedder.load(trained, device="cpu")
    if merged.arithmetic:
        assert merged.arithmetic.endswith(", fused, merged")
    monkeypatch.setattr(LoraModel, "merge_and_unload", LoraModel.unload)
    apart = Embedder.load(trained, device="cpu")
    assert "merged" not in apart.arithmetic
    np.testing.assert_allclose(apart.encode(_TEXTS), merged.encode(_TEXTS), atol=1e-5)


@pytest.mark.parametrize("is_tied", [True, False])
def test_the_next_stage_starts_from_the_merged_adapter(
    is_tied: bool, pairs_file: Path, tmp_path: Path
) -> None:
    base = _base(tmp_path, raw={"tie_word_embeddings": is_tied})
    head = load_network(base, device="cpu", with_head=True).head_weight()
    weak = train_adapter(base, pairs_file, tmp_path / "0")
    first = train_adapter(weak, pairs_file, tmp_path / "1", _RECONSTRUCTION)
    second = train_adapter(first, pairs_file, tmp_path / "2")
    third = train_adapter(second, pairs_file, tmp_path / "3", tuning=TuningConfig(method="full"))
    for before, after in ((weak, first), (first, second)):
        merged = merge_adapter(load_network(before, device="cpu", with_head=True))
        plain = load_file(after / "model.safetensors")
        for name, value in merged.whole.state_dict().items():
            if name in plain:
                torch.testing.assert_close(plain[name], value, rtol=0, atol=0)
        assert read_manifest(after).merged is False
    assert load_network(second, device="cpu", with_head=True).head_weight().equal(head)
    assert read_manifest(third).merged is None
    assert not (third / "adapter").exists()
    kept = load_network(third, device="cpu", with_head=True).head_weight()
    assert kept.equal(head) is not is_tied
    for folder in (weak, first, second, third):
        ours = Embedder.load(folder, device="cpu").encode(_TEXTS)
        theirs = SentenceTransformer(str(folder), device="cpu").encode(_TEXTS, prompt="")
        np.testing.assert_allclose(theirs, ours, atol=1e-6)


def test_a_base_in_sixteen_bits_keeps_its_type_under_float32_adapters(
    pairs_file: Path, tmp_path: Path
) -> None:
    base = _base(tmp_path, dtype="bfloat16")
    folder = train_adapter(base, pairs_file, tmp_path / "1")
    network = load_network(folder, device="cpu")
    kinds = {".lora_" in name: value.dtype for name, value in network.decoder.named_parameters()}
    assert kinds == {True: torch.float32, False: torch.bfloat16}
    ours = Embedder.load(folder, device="cpu").encode(_TEXTS)
    theirs = SentenceTransformer(str(folder), device="cpu").encode(_TEXTS, prompt="")
    # Other libraries round the adapter to sixteen bits, too, and normalise in them.
    lengths = np.linalg.norm(theirs, axis=1)
    assert ((ours * theirs).sum(axis=1) / lengths).min() > 0.995
    # What an adapter adds would be lost in sixteen bits: from here on the weights are float32.
    assert merge_adapter(network).decoder.dtype == torch.float32
    second = train_adapter(folder, pairs_file, tmp_path / "2")
    assert load_network(second, device="cpu").decoder.dtype == torch.float32


@pytest.mark.parametrize("family", ["bert", "xlm-roberta", "gemma3"])
def test_other_families_take_adapters_too(family: str, pairs_file: Path, tmp_path: Path) -> None:
    base = _base(tmp_path, family)
    targets = {"gemma3": LORA.targets}.get(family, ("query", "key", "value", "dense"))
    folder = train_adapter(base, pairs_file, tmp_path / "1", tuning=replace(LORA, targets=targets))
    ours = Embedder.load(folder, device="cpu").encode(_TEXTS)
    theirs = SentenceTransformer(str(folder), device="cpu").encode(_TEXTS, prompt="")
    np.testing.assert_allclose(theirs, ours, atol=1e-6)


def test_an_encoder_is_not_reconstructed_from(pairs_file: Path, tmp_path: Path) -> None:
    base = _base(tmp_path, "bert")
    with pytest.raises(DataError, match="is an encoder"):
        train_adapter(base, pairs_file, tmp_path / "1", _RECONSTRUCTION)


def test_merging_is_exact_enough_on_the_tiny_model(trained: Path) -> None:
    assert merging.TOLERANCE == 1e-5
    network = load_network(trained, device="cpu")
    assert merge_adapter(network).adapted is None
