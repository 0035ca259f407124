"""Batching by tokens and pooling."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.models.forward import embed_batches, embed_rows, token_batches
from harness.models.network import load_network
from harness.models.pooling import Pooling, pool


@given(lengths=st.lists(st.integers(1, 50), max_size=40), slots=st.integers(1, 120))
def test_every_row_is_in_one_batch_within_the_budget(lengths: list[int], slots: int) -> None:
    batches = token_batches(lengths, slots=slots)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        width = max(lengths[index] for index in batch)
        assert len(batch) == 1 or len(batch) * width <= slots


@given(lengths=st.lists(st.integers(1, 50), min_size=2, max_size=40))
def test_batches_go_from_short_to_long(lengths: list[int]) -> None:
    order = [lengths[index] for batch in token_batches(lengths, slots=60) for index in batch]
    assert order == sorted(lengths)


@pytest.mark.parametrize("method", ["last", "mean"])
def test_pooling_equals_one_row_at_a_time(method: Pooling) -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(3, 5, 4, generator=generator, dtype=torch.float64)
    lengths = torch.tensor([5, 1, 3])
    rows = [hidden[row, : int(length)] for row, length in enumerate(lengths)]
    expected = torch.stack([row[-1] if method == "last" else row.mean(dim=0) for row in rows])
    torch.testing.assert_close(pool(hidden, lengths, method), expected, rtol=0, atol=1e-15)


def test_a_mean_ignores_padding_that_is_not_finite() -> None:
    hidden = torch.ones(1, 3, 2)
    hidden[0, 2] = float("nan")
    assert torch.isfinite(pool(hidden, torch.tensor([2]), "mean")).all()


@pytest.mark.parametrize("method", ["last", "mean"])
def test_batches_give_the_vectors_of_single_rows_in_order(tiny_base: Path, method: Pooling) -> None:
    network = load_network(tiny_base, device="cpu")
    decoder = network.decoder.double()
    rows = network.tokenizer.tokenise(["word " * n for n in (7, 1, 20, 3, 11, 1)], 64)
    with torch.no_grad():
        expected = torch.cat([embed_rows(decoder, [row], method) for row in rows])
        for slots in (1, 30, 1000):
            vectors = embed_batches(decoder, rows, method, slots=slots)
            torch.testing.assert_close(vectors, expected, rtol=0, atol=1e-6)
