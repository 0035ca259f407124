"""InfoNCE over cosine similarities (arXiv 2401.00368).

Owns the loss as a function of vectors. The rule: similarities are cosines in float32 or wider; a
candidate that is no true negative of a query is masked, never pushed away. Which candidates those are is
`false_negatives`' affair.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn import functional


class InfoNCE(NamedTuple):
    """The loss of a batch and what shows whether it learns."""

    loss: torch.Tensor
    accuracy: float
    """Share of queries whose positive scores highest."""
    gap: float
    """Mean cosine of queries to their positives minus that to the candidates that count as negatives."""


def info_nce(
    queries: torch.Tensor,
    documents: torch.Tensor,
    *,
    is_masked: torch.Tensor,
    temperature: float,
    symmetric: bool = False,
) -> InfoNCE:
    """Return the mean of -log(phi(q_i, d_i) / sum_j phi(q_i, d_j)) with phi = exp(cosine / temperature).

    Args:
        queries: Vectors [queries, width], of any length.
        documents: Vectors [documents, width]: the positives in the queries' order, then all hard
            negatives.
        is_masked: Candidates that are left out of the sum [queries, documents].
        temperature: Divisor of the cosines.
        symmetric: Take the mean with the loss of positives that choose among the queries.
    """
    wide = torch.promote_types(queries.dtype, torch.float32)
    left = functional.normalize(queries.to(wide), dim=-1)
    right = functional.normalize(documents.to(wide), dim=-1)
    cosines = left @ right.T
    scores = (cosines / temperature).masked_fill(is_masked, float("-inf"))
    labels = torch.arange(len(queries), device=queries.device)
    loss = functional.cross_entropy(scores, labels)
    if symmetric:
        square = scores[:, : len(queries)].T
        loss = (loss + functional.cross_entropy(square, labels)) / 2
    with torch.no_grad():
        accuracy = (scores.argmax(dim=-1) == labels).to(wide).mean().item()
        counts = ~is_masked
        counts[labels, labels] = False
        negative = (cosines * counts).sum() / counts.sum().clamp(min=1)
        gap = (cosines.diagonal().mean() - negative).item()
    return InfoNCE(loss, accuracy, gap)
