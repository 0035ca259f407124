"""Pooling, and vectors of many texts against those of single ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from harness.models.forward import embed_batches, embed_rows
from harness.models.network import load_network
from harness.models.packing import make_layout
from harness.models.pooling import Pooling, pool


@pytest.mark.parametrize("method", ["last", "mean", "weighted_mean"])
def test_pooling_equals_one_text_at_a_time(method: Pooling) -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(9, 4, generator=generator, dtype=torch.float64)
    texts = hidden.split([5, 1, 3])
    ways = {
        "last": lambda text: text[-1],
        "mean": lambda text: text.mean(dim=0),
        "weighted_mean": lambda text: (
            sum((place + 1) * state for place, state in enumerate(text)) / sum(range(1, len(text) + 1))
        ),
    }
    expected = torch.stack([ways[method](text) for text in texts])
    layout = make_layout([5, 1, 3], device=hidden.device)
    torch.testing.assert_close(pool(hidden, layout, method), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("method", ["last", "mean", "weighted_mean"])
def test_batches_give_the_vectors_of_single_texts_in_order(tiny_base: Path, method: Pooling) -> None:
    network = load_network(tiny_base, device="cpu")
    decoder = network.decoder.double()
    rows = network.tokenizer.tokenise(["word " * n for n in (7, 1, 20, 3, 11, 1)], 64)
    with torch.no_grad():
        expected = torch.cat([embed_rows(decoder, [row], method) for row in rows])
        for tokens in (1, 30, 1000):
            vectors = embed_batches(decoder, rows, method, tokens=tokens)
            torch.testing.assert_close(vectors, expected, rtol=0, atol=1e-6)
