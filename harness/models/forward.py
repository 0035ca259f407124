"""Token ids through a causal decoder, with as little padding as order allows.

Owns the batching by tokens and the forward pass without an attention mask. The rule: rows are padded
on the right only; under a causal mask no real token then sees padding, so the result is exact and the
fastest attention kernel applies (probes hold the model to it). Gradients, dropout and the order of
training are left to `harness.training`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from harness.models.pooling import Pooling, pool


def token_batches(lengths: Sequence[int], *, slots: int) -> list[list[int]]:
    """Divide rows into batches of similar length, each of at most `slots` tokens with padding.

    A row longer than `slots` makes a batch of its own.

    Returns:
        Indices of the rows of each batch, the shortest rows first.
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda row: (lengths[row], row)):
        if batches and (len(batches[-1]) + 1) * lengths[index] <= slots:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def pad_rows(
    rows: Sequence[Sequence[int]], *, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids [rows, positions], padded on the right with id 0, and lengths [rows]."""
    lengths = [len(row) for row in rows]
    width = max(lengths)
    padded = [[*row, *([0] * (width - len(row)))] for row in rows]
    ids = torch.tensor(padded, dtype=torch.long, device=device)
    return ids, torch.tensor(lengths, dtype=torch.long, device=device)


def embed_rows(decoder: nn.Module, rows: Sequence[Sequence[int]], pooling: Pooling) -> torch.Tensor:
    """Run one batch of rows and pool it.

    Args:
        decoder: The network below the vocabulary head; returns hidden states after the final norm.
        rows: Token ids, each row ending in the anchor.
        pooling: How the vector is taken.

    Returns:
        Vectors [rows, width], not normalised, in the decoder's type.
    """
    ids, lengths = pad_rows(rows, device=next(decoder.parameters()).device)
    hidden = decoder(input_ids=ids, use_cache=False).last_hidden_state
    return pool(hidden, lengths, pooling)


def embed_batches(
    decoder: nn.Module, rows: Sequence[Sequence[int]], pooling: Pooling, *, slots: int
) -> torch.Tensor:
    """Run any number of rows in token batches; vectors [rows, width] come back in the rows' order."""
    batches = token_batches([len(row) for row in rows], slots=slots)
    vectors = [embed_rows(decoder, [rows[index] for index in batch], pooling) for batch in batches]
    order = torch.tensor([index for batch in batches for index in batch], dtype=torch.long)
    return torch.cat(vectors)[torch.argsort(order).to(vectors[0].device)]
