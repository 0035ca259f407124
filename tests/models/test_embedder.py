"""Encoding: order, repeated texts, prompts, identity."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from harness.errors import DataError, HarnessError, ProbeError
from harness.models.embedder import Embedder
from harness.models.fused_decoder import FusedDecoder

_TEXTS = ["river", "The committee will meet again on Thursday.", "", "word " * 90, "river"]


@pytest.fixture(scope="module")
def embedder(tiny_base: Path) -> Embedder:
    return Embedder.load(tiny_base, device="cpu")


def test_vectors_have_length_one_and_the_order_of_the_texts(embedder: Embedder) -> None:
    vectors = embedder.encode(_TEXTS)
    assert vectors.shape == (5, embedder.dimension)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    for text, vector in zip(_TEXTS, vectors, strict=True):
        np.testing.assert_allclose(embedder.encode([text])[0], vector, atol=1e-6)


def test_a_repeated_text_is_encoded_once(embedder: Embedder) -> None:
    before = embedder.num_tokens
    embedder.encode(["river"])
    once = embedder.num_tokens - before
    embedder.encode(["river"] * 10)
    assert embedder.num_tokens - before == 2 * once


@pytest.mark.parametrize("batch_tokens", [1, 16, 4096])
def test_batching_moves_no_vector(embedder: Embedder, batch_tokens: int) -> None:
    np.testing.assert_allclose(
        embedder.encode(_TEXTS, batch_tokens=batch_tokens), embedder.encode(_TEXTS), atol=1e-6
    )


@pytest.mark.parametrize("prompt", ["query: ", "Instruct: find the committee.\nQuery: ", "The", ""])
def test_a_prompt_is_put_before_the_text_as_it_is(embedder: Embedder, prompt: str) -> None:
    # Some of them join the prompt's last characters in a token.
    texts = [
        "river",
        "",
        " lamp",
        "\n",
        "re",
        "word " * 90,
        "is a light, that is all we know of it " * 3,
    ]
    found = embedder.encode(texts, prompt=prompt)
    np.testing.assert_allclose(found, embedder.encode([prompt + text for text in texts]), atol=1e-5)
    if embedder.arithmetic:
        for text, vector in zip(texts, found, strict=True):
            assert np.array_equal(embedder.encode([text], prompt=prompt)[0], vector)


def test_a_prompt_goes_through_the_network_once(
    embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = "Given a question about plants, find the answer.\nQuery: "
    if embedder._inference._sharing is None:
        pytest.skip("this processor's vectors behind a shared beginning depend on their company")
    seen: list[int] = []
    start = FusedDecoder._start

    def counted(self: FusedDecoder, rows: list[list[int]], *, skipped: int, floor: int) -> object:
        seen.append(sum(len(row) - skipped for row in rows))
        return start(self, rows, skipped=skipped, floor=floor)

    monkeypatch.setattr(FusedDecoder, "_start", counted)
    texts = ["how do they grow", "where", "what is sugar"]
    rows = embedder._network.tokenizer.tokenise([prompt + text for text in texts], 64)
    num_shared = len(embedder._network.tokenizer.beginning(prompt, 64))
    assert num_shared > 10
    for _ in range(2):
        embedder.encode(texts, prompt=prompt)
    own = sum(map(len, rows)) - len(rows) * num_shared
    assert seen == [num_shared, own, own]


def test_no_texts_give_no_vectors(embedder: Embedder) -> None:
    assert embedder.encode([]).shape == (0, embedder.dimension)


def test_the_weights_id_is_that_of_the_content(
    embedder: Embedder, tiny_base: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_base, copy)
    assert Embedder.load(copy, device="cpu").weights_id == embedder.weights_id
    pooling = copy / "1_Pooling" / "config.json"
    pooling.write_text(pooling.read_text().replace("lasttoken", "mean"))
    assert Embedder.load(copy, device="cpu").weights_id != embedder.weights_id


def test_changed_weights_are_caught_when_loading(tiny_base: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_base, copy)
    weights = load_file(copy / "model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight"] *= 1.5
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ProbeError, match="not what was saved"):
        Embedder.load(copy, device="cpu")


def test_a_folder_of_another_kind_is_refused(tiny_checkpoint: Path) -> None:
    with pytest.raises(DataError, match="no model folder of the harness"):
        Embedder.load(tiny_checkpoint, device="cpu")


def test_a_damaged_manifest_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_base, copy)
    (copy / "harness_model.json").write_text("{}")
    with pytest.raises(DataError, match=r"harness_model\.json"):
        Embedder.load(copy, device="cpu")


def test_a_device_that_is_not_there_is_an_error(
    tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(HarnessError, match="torch sees none"):
        Embedder.load(tiny_base, device="cuda")
