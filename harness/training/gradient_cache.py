"""The gradient of a loss over all vectors of a batch, within bounded memory.

Owns the backward pass of losses that see a whole batch at once. A small batch runs as one graph over
length-sorted sub-batches; a large one by gradient caching (arXiv 2101.06983): vectors first without a
graph, then the loss's gradient by vector, then each sub-batch again with its graph. The rule: both
ways give the same gradients, dropout included, and which one is taken depends on the batch alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from harness.identity import derive_seed
from harness.models.forward import embed_rows, token_batches
from harness.models.pooling import Pooling

_SLOTS = 1024
_GRAPH_SLOTS = 3072


def backward_through(
    decoder: Any,
    rows: Sequence[Sequence[int]],
    loss_of: Callable[[torch.Tensor], torch.Tensor],
    *,
    pooling: Pooling,
    seed: tuple[str | int, ...],
    slots: int = _SLOTS,
    graph_slots: int = _GRAPH_SLOTS,
) -> float:
    """Add the gradient of `loss_of(vectors of rows)` to the decoder's weights; return the loss.

    Args:
        decoder: The network below the head.
        rows: Token ids of all texts.
        loss_of: Takes vectors [rows, width] in the rows' order, not normalised; returns a scalar.
        pooling: How a vector is taken.
        seed: What the dropout of this step depends on.
        slots: Tokens of a sub-batch, padding included.
        graph_slots: Tokens of the largest batch that runs as one graph.
    """
    batches = token_batches([len(row) for row in rows], slots=slots)
    order = torch.tensor([index for batch in batches for index in batch], dtype=torch.long)
    places = torch.argsort(order)

    def run(number: int) -> torch.Tensor:
        # Its own seed a sub-batch: the second pass of caching must repeat the first one's dropout.
        torch.manual_seed(derive_seed(*seed, number))
        return embed_rows(decoder, [rows[index] for index in batches[number]], pooling)

    num_slots = sum(len(batch) * max(len(rows[index]) for index in batch) for batch in batches)
    if num_slots <= graph_slots:
        vectors = torch.cat([run(number) for number in range(len(batches))])
        loss = loss_of(vectors[places.to(vectors.device)])
        loss.backward()
        return loss.item()
    with torch.no_grad():
        vectors = torch.cat([run(number) for number in range(len(batches))])
    vectors.requires_grad_()
    loss = loss_of(vectors[places.to(vectors.device)])
    (slopes,) = torch.autograd.grad(loss, vectors)
    for number, slope in enumerate(slopes.split([len(batch) for batch in batches])):
        run(number).backward(slope)
    return loss.item()
