"""The right contrastive loss, and what goes wrong with one."""

from __future__ import annotations

import torch
from torch import nn

from harness.training.infonce import info_nce


def right(
    queries: torch.Tensor, documents: torch.Tensor, *, symmetric: bool = False, temperature: float = 0.02
) -> torch.Tensor:
    """Return the project's own loss, with nothing masked."""
    is_masked = torch.zeros(len(queries), len(documents), dtype=torch.bool)
    return info_nce(
        queries, documents, is_masked=is_masked, temperature=temperature, symmetric=symmetric
    ).loss


def shuffled(queries: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
    return right(queries, torch.cat([documents[:4].roll(1, 0), documents[4:]]))


def interleaved(queries: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
    """Take documents as positive, negative, negative, positive, ..., as gathered ranks may give."""
    return right(queries, documents.unflatten(0, (3, 4)).transpose(0, 1).flatten(0, 1))


def negatives_first(queries: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
    return right(queries, documents.roll(-4, 0))


def bfloat16(queries: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
    return _of_scores(queries.bfloat16(), documents.bfloat16()).float()


def bfloat16_throughout(queries: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
    return _of_scores(queries.bfloat16(), documents.bfloat16())


def _of_scores(queries: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
    left, right = nn.functional.normalize(queries, dim=-1), nn.functional.normalize(documents, dim=-1)
    return nn.functional.cross_entropy(left @ right.T / 0.02, torch.arange(len(queries)))


def dot_products(queries: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(queries @ documents.T / 0.02, torch.arange(len(queries)))


def another_temperature(queries: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
    return right(queries, documents, temperature=0.05)


def without_documents_gradient(queries: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
    return right(queries, documents.detach()) + 0 * documents.sum()


def not_finite(queries: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
    return right(queries, documents) * float("nan")
