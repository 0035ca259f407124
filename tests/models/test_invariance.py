"""A text's vector has the same bits whatever it is encoded with, where that is claimed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.models import budget
from harness.models.budget import Budget, plan_budget
from harness.models.embedder import Embedder
from harness.models.forward import Rows, embed_rows
from harness.models.inference import Inference
from harness.models.invariance import find_floor
from harness.models.packing import canonical_width, make_layout

_WORDS = ("river", "bridge", "a", "engine", "of", "violin", "winter.", "unbelievable", "7", "é")


@pytest.fixture(scope="module")
def loaded(tiny_base: Path) -> Embedder:
    return Embedder.load(tiny_base, device="cpu")


def _texts(seed: int, num: int) -> list[str]:
    generator = np.random.default_rng(seed)
    return [
        f"{place} " + " ".join(generator.choice(_WORDS, size=generator.integers(0, 60)))
        for place in range(num)
    ]


@given(seed=st.integers(0, 2**16), batch_tokens=st.sampled_from([40, 300, 2048]))
@settings(max_examples=15)
def test_no_company_order_or_budget_changes_a_bit(
    loaded: Embedder, seed: int, batch_tokens: int
) -> None:
    if not loaded.arithmetic:
        pytest.skip("this processor's products depend on what else is multiplied")
    texts = _texts(seed, 40)
    whole = loaded.encode(texts)
    some = np.random.default_rng(seed).permutation(40)[: 1 + seed % 30]
    part = loaded.encode([texts[place] for place in some], batch_tokens=batch_tokens)
    assert np.array_equal(part, whole[some])


@pytest.mark.parametrize("pooling", ["last", "mean", "weighted_mean"])
def test_a_floor_changes_vectors_by_rounding_alone(loaded: Embedder, pooling: str) -> None:
    network = loaded._network
    rows = network.tokenizer.tokenise(_texts(1, 9), 64)
    plain = embed_rows(network.decoder, rows, pooling)  # type: ignore[arg-type]
    floored = embed_rows(network.decoder, rows, pooling, floor=256)  # type: ignore[arg-type]
    assert plain.shape == floored.shape
    assert torch.allclose(plain, floored, atol=1e-5)


def test_a_device_that_depends_on_the_company_is_found_out(loaded: Embedder) -> None:
    def disturbed(rows: Rows, *, floor: int) -> torch.Tensor:
        found = embed_rows(loaded._network.decoder, rows, "last", floor=floor)
        # The last bit depends on the number of texts.
        return torch.nextafter(found, found + 1) if len(found) > 1 else found

    assert find_floor(disturbed, vocabulary=100, max_length=64) == 0


@given(length=st.integers(1, 5000))
def test_a_width_follows_from_the_length_and_wastes_little(length: int) -> None:
    width = canonical_width(length)
    assert length <= width <= max(8, 1.25 * length + 7)
    assert canonical_width(width) == width


@given(lengths=st.lists(st.integers(1, 50), min_size=1, max_size=40))
def test_canonical_rectangles_hold_every_token_once(lengths: list[int]) -> None:
    layout = make_layout(sorted(lengths), device=torch.device("cpu"), is_canonical=True)
    assert [length for bucket in layout.buckets for length in bucket.lengths] == sorted(lengths)
    for bucket in layout.buckets:
        assert {canonical_width(length) for length in bucket.lengths} == {bucket.width}
        assert bucket.slots is None or len(bucket.slots) == bucket.num_tokens


def test_memory_that_runs_out_halves_the_budget_and_changes_nothing(
    loaded: Embedder, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = _texts(3, 30)
    expected = loaded.encode(texts)
    short = Embedder.load(tiny_base, device="cpu")
    assert short.arithmetic == loaded.arithmetic
    sizes: list[int] = []

    embed = Inference.embed

    def limited(inference: Inference, rows: Rows, *rest: Any) -> torch.Tensor:
        sizes.append(sum(map(len, rows)))
        if sizes[-1] > 300:
            raise torch.OutOfMemoryError("no room")
        return embed(inference, rows, *rest)

    monkeypatch.setattr(Inference, "embed", limited)
    found = short.encode(texts)
    assert np.array_equal(found, expected) if loaded.arithmetic else np.allclose(found, expected)
    # What did not fit once is not tried again.
    num_tries = len(sizes)
    short.encode(texts)
    assert max(sizes[num_tries:]) <= 300


def test_a_single_text_that_does_not_fit_is_an_error_with_a_cure() -> None:
    small = Budget(tokens=4)

    def fail() -> None:
        raise MemoryError

    assert [small.run(fail), small.run(fail)] == [None, None]
    with pytest.raises(HarnessError, match="memory ran out") as caught:
        small.run(fail)
    assert "max_length" in caught.value.cure


def test_other_errors_are_no_matter_of_memory() -> None:
    def fail() -> None:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        Budget(tokens=4).run(fail)


def test_the_budget_follows_from_the_device(loaded: Embedder) -> None:
    assert plan_budget(loaded._network.decoder).tokens == budget._CPU_TOKENS
