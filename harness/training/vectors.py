"""Vectors of many texts without gradients, made by all ranks together.

Owns `embed_together`. The rule: every rank gets all vectors in the texts' order, the same to the last
bit, and no more than a sub-batch of texts is in a network at once.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from harness.models.forward import Rows, embed_rows
from harness.models.pooling import Pooling
from harness.training.ranks import Ranks
from harness.training.shares import share_texts


@torch.no_grad()
def embed_together(
    decoder: Any, rows: Rows, pooling: Pooling, *, tokens: int, ranks: Ranks
) -> torch.Tensor:
    """Return the vectors of texts [rows, width], not normalised.

    Args:
        decoder: The network below the head, shared by the ranks.
        rows: Token ids of all texts, the same on every rank.
        pooling: How a vector is taken.
        tokens: Tokens of a sub-batch.
        ranks: The processes that share the texts.
    """
    shares = share_texts([len(row) for row in rows], tokens=tokens, num_ranks=ranks.size)
    parts = [
        ranks.forward(partial(embed_rows, decoder, [rows[index] for index in batch], pooling))
        for batch in shares[ranks.rank]
    ]
    counts = [sum(len(batch) for batch in share) for share in shares]
    vectors = ranks.gather(torch.cat(parts), counts)
    order = torch.tensor([index for share in shares for batch in share for index in batch])
    return vectors[torch.argsort(order).to(vectors.device)]
