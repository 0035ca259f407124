"""The gradient of a loss over all vectors of a batch, within bounded memory.

Owns the backward pass of losses that see a whole batch at once, however many ranks share it. A batch
whose activations fit runs as one graph over length-sorted sub-batches; a larger one by gradient caching
(arXiv 2101.06983): vectors first without a graph, then the loss's gradient by vector, then each
sub-batch again with its graph. The rule: both ways, any size of sub-batch and any number of ranks give
the same gradients, dropout included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from harness.identity import derive_seed
from harness.models.forward import Rows, embed_rows
from harness.models.pooling import Pooling
from harness.training.memory import MicroBatch
from harness.training.ranks import ONE_RANK, Ranks
from harness.training.shares import share_texts


def backward_through(
    decoder: Any,
    rows: Rows,
    loss_of: Callable[[torch.Tensor], torch.Tensor],
    *,
    pooling: Pooling,
    seed: tuple[str | int, ...],
    micro_batch: MicroBatch,
    ranks: Ranks = ONE_RANK,
) -> float:
    """Add the gradient of `loss_of(vectors of rows)` to the decoder's weights; return the loss.

    Args:
        decoder: The network below the head.
        rows: Token ids of all texts, the same on every rank.
        loss_of: Takes vectors [rows, width] in the rows' order, not normalised; returns a scalar.
        pooling: How a vector is taken.
        seed: What the dropout of this step depends on.
        micro_batch: Tokens of a sub-batch, and of the largest batch that runs as one graph.
        ranks: The processes that share the batch.
    """
    lengths = [len(row) for row in rows]
    shares = share_texts(lengths, tokens=micro_batch.tokens, num_ranks=ranks.size)
    order = torch.tensor([index for share in shares for batch in share for index in batch])
    counts = [sum(len(batch) for batch in share) for share in shares]
    batches = shares[ranks.rank]
    largest = max(sum(lengths[index] for batch in share for index in batch) for share in shares)
    is_direct = largest <= micro_batch.graph_tokens
    # Room for adding the texts' numbers.
    first_key = derive_seed(*seed) >> 1

    def run(batch: list[int]) -> torch.Tensor:
        keys = [first_key + index for index in batch]
        texts = [rows[index] for index in batch]
        return ranks.forward(lambda: embed_rows(decoder, texts, pooling, text_keys=keys))

    parts = []
    for number, batch in enumerate(batches):
        with (
            torch.set_grad_enabled(is_direct),
            ranks.accumulate(is_last=number == len(batches) - 1),
        ):
            parts.append(run(batch))
    mine = torch.cat(parts)
    everyones = ranks.gather(mine.detach(), counts).requires_grad_()
    loss = loss_of(everyones[torch.argsort(order).to(everyones.device)])
    (slopes,) = torch.autograd.grad(loss, everyones)
    slope = slopes.split(counts)[ranks.rank] * ranks.gradient_scale
    if is_direct:
        mine.backward(slope)
        return loss.item()
    for number, (batch, piece) in enumerate(
        zip(batches, slope.split([len(batch) for batch in batches]), strict=True)
    ):
        with ranks.accumulate(is_last=number == len(batches) - 1):
            run(batch).backward(piece)
    return loss.item()
