"""What an embedding may go through before it is decoded, for the ablation of that choice.

Owns the projections of stage I. The rule: the paper (arXiv 2509.03020) has none, and none is the
default; whatever is trained here serves the stage alone and is thrown away after it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class NormProjection(nn.Module):
    """Scales every embedding to the mean norm of the base's input embeddings.

    Args:
        table: The network's input embeddings [vocabulary, width].
    """

    def __init__(self, table: torch.Tensor) -> None:
        super().__init__()
        self.norm = float(table.detach().float().norm(dim=-1).mean())

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Return embeddings [texts, width] of equal norm."""
        return nn.functional.normalize(embeddings, dim=-1) * self.norm


class LinearProjection(nn.Module):
    """A square matrix that is trained along, the identity at first.

    Args:
        width: Width of the embeddings.
        like: A tensor of the type and on the device that the matrix shall have.
    """

    def __init__(self, width: int, *, like: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(width, dtype=like.dtype, device=like.device))

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Return embeddings [texts, width] times the matrix."""
        return nn.functional.linear(embeddings, self.weight)


def make_projection(kind: str, decoder: Any) -> nn.Module | None:
    """Return the projection of that name (`none`, `norm` or `linear`) for a network."""
    table = decoder.get_input_embeddings().weight
    if kind == "norm":
        return NormProjection(table)
    return LinearProjection(table.shape[1], like=table) if kind == "linear" else None
