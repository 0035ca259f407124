"""InfoNCE over cosine similarities (arXiv 2401.00368).

Owns the loss as a function of vectors, and which candidates count. The rule: similarities are cosines
in float32 or wider; a candidate that is no true negative of a query (the same text as its positive or
itself, or the positive of an equal query) is masked, never pushed away.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional


def info_nce(
    queries: torch.Tensor, documents: torch.Tensor, *, is_masked: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean of -log(phi(q_i, d_i) / sum_j phi(q_i, d_j)) with phi = exp(cosine / temperature).

    Args:
        queries: Vectors [queries, width], of any length.
        documents: Vectors [documents, width]: the positives in the queries' order, then all hard
            negatives.
        is_masked: Candidates that are left out of the sum [queries, documents].
        temperature: Divisor of the cosines.

    Returns:
        The loss, and the share of queries whose positive scores highest.
    """
    wide = torch.promote_types(queries.dtype, torch.float32)
    left = functional.normalize(queries.to(wide), dim=-1)
    right = functional.normalize(documents.to(wide), dim=-1)
    scores = (left @ right.T / temperature).masked_fill(is_masked, float("-inf"))
    labels = torch.arange(len(queries), device=queries.device)
    accuracy = (scores.detach().argmax(dim=-1) == labels).to(wide).mean()
    return functional.cross_entropy(scores, labels), accuracy


def mask_false_negatives(
    queries: Sequence[str], positives: Sequence[str], negatives: Sequence[str]
) -> torch.Tensor:
    """Return which candidates must not count as negatives [queries, positives + negatives].

    Masked for a query are candidates with the text of its own positive or of the query itself, and
    the positives of rows with the same query. Its own positive is never masked.
    """
    numbers: dict[str, int] = {}
    for text in (*queries, *positives, *negatives):
        numbers.setdefault(text, len(numbers))
    query = torch.tensor([numbers[text] for text in queries])
    positive = torch.tensor([numbers[text] for text in positives])
    candidate = torch.tensor([numbers[text] for text in (*positives, *negatives)])
    is_masked = (candidate[None, :] == positive[:, None]) | (candidate[None, :] == query[:, None])
    is_masked[:, : len(queries)] |= query[None, :] == query[:, None]
    is_masked[:, : len(queries)].fill_diagonal_(False)  # noqa: FBT003 - torch takes it by position only
    return is_masked
