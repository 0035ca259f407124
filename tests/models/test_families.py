"""Every family of bases: what the study asks for is what every library computes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from transformers import AutoConfig, AutoModel

from harness.errors import DataError
from harness.models.architecture import num_positions, rope_base, sees_later_tokens, window
from harness.models.bases import prepare_base
from harness.models.embedder import Embedder
from harness.models.network import load_network
from harness.study.recipe import ModelConfig, PromptConfig
from tests.models.tiny import DECODERS, ENCODERS, make_tiny, make_tokenizer, write_weights

_TEXTS = [
    "river",
    "",
    "word " * 100,
    "The committee will meet again.",
    "How do plants turn sunlight into sugar? They do it in their leaves, and in nothing else.",
]
_FAMILIES = [*DECODERS, *ENCODERS]
_ENDS = {"bert": "[SEP]", "xlm-roberta": "</s>"}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one raw checkpoint a family."""
    folder = tmp_path_factory.mktemp("families")
    for family in _FAMILIES:
        make_tiny(folder / family, family)
    return folder


def _prepare(checkpoint: Path, output: Path, **settings: Any) -> Path:
    config = ModelConfig(base=checkpoint.name, **{"max_length": 64, **settings})
    prepare_base(config=config, prompts=PromptConfig(), checkpoint=checkpoint, gguf=None, output=output)
    return output


def _encode_alike(folder: Path) -> np.ndarray:
    """Return our vectors of the texts, once sentence-transformers gives the same, alone and batched."""
    ours = Embedder.load(folder, device="cpu").encode(_TEXTS)
    model = SentenceTransformer(str(folder), device="cpu")
    np.testing.assert_allclose(model.encode(_TEXTS), ours, atol=2e-6)
    np.testing.assert_allclose(np.stack([model.encode(text) for text in _TEXTS]), ours, atol=2e-6)
    return ours


@pytest.mark.parametrize("family", _FAMILIES)
def test_a_family_becomes_a_folder_that_every_library_reads_alike(
    family: str, raw: Path, tmp_path: Path
) -> None:
    folder = _prepare(raw / family, tmp_path / "base")
    tokenizer = load_network(folder, device="cpu").tokenizer
    assert tokenizer.anchor == _ENDS.get(family, "<|end|>")
    assert tokenizer.num_leading == (1 if family in ENCODERS or family.startswith("gemma") else 0)
    _encode_alike(folder)


@pytest.mark.parametrize("family", list(DECODERS))
def test_bidirectional_attention_is_so_in_every_library(family: str, raw: Path, tmp_path: Path) -> None:
    causal = _encode_alike(_prepare(raw / family, tmp_path / "causal", attention="causal"))
    both = _encode_alike(_prepare(raw / family, tmp_path / "both", attention="bidirectional"))
    native = Embedder.load(_prepare(raw / family, tmp_path / "native"), device="cpu").encode(_TEXTS)
    np.testing.assert_array_equal(native, causal)
    assert np.abs(both - causal).max() > 1e-2
    assert json.loads((tmp_path / "both" / "config.json").read_text())["is_causal"] is False
    assert sees_later_tokens(AutoConfig.from_pretrained(tmp_path / "both"))


def test_a_base_that_sees_both_ways_by_nature_can_be_made_causal(tmp_path: Path) -> None:
    make_tokenizer("gemma3").save_pretrained(tmp_path / "raw")
    write_weights(tmp_path / "raw", DECODERS["gemma3"](use_bidirectional_attention=True))
    both = _encode_alike(_prepare(tmp_path / "raw", tmp_path / "both"))
    causal = _encode_alike(_prepare(tmp_path / "raw", tmp_path / "causal", attention="causal"))
    settings = AutoConfig.from_pretrained(tmp_path / "causal")
    assert not sees_later_tokens(settings)
    assert settings.sliding_window == 8
    assert np.abs(both - causal).max() > 1e-2


@pytest.mark.parametrize("family", list(ENCODERS))
def test_an_encoder_cannot_be_made_causal(family: str, raw: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is an encoder and cannot be made causal"):
        _prepare(raw / family, tmp_path / "base", attention="causal")


@pytest.mark.parametrize("family", list(ENCODERS))
def test_an_encoder_has_no_head_to_reconstruct_with(family: str, raw: Path, tmp_path: Path) -> None:
    folder = _prepare(raw / family, tmp_path / "base")
    with pytest.raises(DataError, match="is an encoder") as caught:
        load_network(folder, device="cpu", with_head=True)
    assert "reconstruction.steps: 0" in caught.value.cure


@pytest.mark.parametrize("pooling", ["mean", "weighted_mean"])
@pytest.mark.parametrize("family", ["gemma", "xlm-roberta"])
def test_every_pooling_is_that_of_other_libraries(
    family: str, pooling: str, raw: Path, tmp_path: Path
) -> None:
    _encode_alike(_prepare(raw / family, tmp_path / "base", pooling=pooling))


@pytest.mark.parametrize("family", _FAMILIES)
def test_the_depth_is_cut_in_every_family(family: str, raw: Path, tmp_path: Path) -> None:
    folder = _prepare(raw / family, tmp_path / "base", num_layers=1)
    settings = AutoConfig.from_pretrained(folder)
    assert settings.num_hidden_layers == 1
    assert len(getattr(settings, "layer_types", None) or [None]) == 1
    names = load_file(folder / "model.safetensors")
    assert not any(".1." in name for name in names if "layer" in name)
    _encode_alike(folder)


def test_windows_from_some_layer_on_are_cut_with_the_layers(tmp_path: Path) -> None:
    make_tokenizer("qwen2").save_pretrained(tmp_path / "raw")
    config = DECODERS["qwen2"](
        use_sliding_window=True, sliding_window=8, max_window_layers=2, num_hidden_layers=4
    )
    write_weights(tmp_path / "raw", config)
    kinds = {}
    for num_layers in (2, 3):
        folder = _prepare(tmp_path / "raw", tmp_path / str(num_layers), num_layers=num_layers)
        kinds[num_layers] = AutoConfig.from_pretrained(folder).layer_types
        _encode_alike(folder)
    assert kinds[3] == ["full_attention", "full_attention", "sliding_attention"]
    assert kinds[2] == kinds[3][:2]


@pytest.mark.parametrize("family", ["mistral-window", "gemma3"])
def test_the_window_is_a_level(family: str, raw: Path, tmp_path: Path) -> None:
    narrow = _encode_alike(_prepare(raw / family, tmp_path / "narrow", sliding_window=3))
    own = _encode_alike(_prepare(raw / family, tmp_path / "own"))
    assert np.abs(narrow - own).max() > 1e-3
    assert window(AutoConfig.from_pretrained(tmp_path / "narrow")) == 3


def test_a_base_without_a_window_gets_none(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no sliding window; sliding_window asks for 3"):
        _prepare(raw / "llama", tmp_path / "base", sliding_window=3)


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_the_base_of_the_rotations_is_a_level(family: str, raw: Path, tmp_path: Path) -> None:
    stretched = _encode_alike(
        _prepare(raw / family, tmp_path / "stretched", rope_base=5e5, max_length=600)
    )
    own = _encode_alike(_prepare(raw / family, tmp_path / "own"))
    assert np.abs(stretched - own).max() > 1e-4
    settings = AutoConfig.from_pretrained(tmp_path / "stretched")
    assert rope_base(settings) == 5e5
    assert settings.max_position_embeddings == 600
    assert SentenceTransformer(str(tmp_path / "stretched"), device="cpu").max_seq_length == 600
    if family == "gemma3":
        assert settings.rope_parameters["sliding_attention"]["rope_theta"] == 1e4


def test_texts_longer_than_the_positions_need_another_base(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 512 positions; max_length asks for 600") as caught:
        _prepare(raw / "llama", tmp_path / "base", max_length=600)
    assert "rope_base" in caught.value.cure
    # XLM-R counts from after its padding token's id: two positions of its table are never used.
    with pytest.raises(DataError, match="has 512 positions; max_length asks for 513") as caught:
        _prepare(raw / "xlm-roberta", tmp_path / "base", max_length=513)
    assert "rope_base" not in caught.value.cure
    longest = _prepare(raw / "xlm-roberta", tmp_path / "longest", max_length=512)
    assert num_positions(AutoConfig.from_pretrained(longest)) == 512
    embedder = Embedder.load(longest, device="cpu")
    assert embedder.encode(["word " * 600]).shape == (1, 32)


def test_learned_positions_have_no_rotary_base(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no rotary position embedding"):
        _prepare(raw / "bert", tmp_path / "base", rope_base=5e5)


def test_weights_in_several_files_are_read(tmp_path: Path) -> None:
    make_tokenizer().save_pretrained(tmp_path / "raw")
    write_weights(tmp_path / "raw", DECODERS["llama"](), max_shard_size="40KB")
    assert len(list((tmp_path / "raw").glob("*.safetensors"))) > 1
    _encode_alike(_prepare(tmp_path / "raw", tmp_path / "base"))


def test_weights_that_can_run_code_are_refused(raw: Path, tmp_path: Path) -> None:
    folder = tmp_path / "llama"
    AutoModel.from_pretrained(raw / "llama").config.save_pretrained(folder)
    with pytest.raises(DataError, match="holds no weights"):
        _prepare(folder, tmp_path / "base")
    (folder / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(DataError, match=r"pytorch_model\.bin, which can run any code") as caught:
        _prepare(folder, tmp_path / "base")
    assert "save_pretrained" in caught.value.cure


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    from transformers import T5Config

    T5Config(num_layers=1, d_model=8, d_ff=8).save_pretrained(tmp_path / "t5")
    make_tokenizer().save_pretrained(tmp_path / "t5")
    (tmp_path / "t5" / "model.safetensors").write_bytes(b"")
    with pytest.raises(DataError, match="no plain text encoder or decoder"):
        _prepare(tmp_path / "t5", tmp_path / "base")
