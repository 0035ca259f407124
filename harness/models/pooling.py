"""From the hidden states of a text's tokens to one vector.

Owns the ways of pooling. The rule: only a text's own tokens count, and means are taken in float32 or
wider. Normalisation is left to the callers: the reconstruction loss needs the vector as it is.
"""

from __future__ import annotations

from typing import Literal

import torch

from harness.models.packing import Layout

Pooling = Literal["last", "mean", "weighted_mean"]


def pool(hidden: torch.Tensor, layout: Layout, method: Pooling) -> torch.Tensor:
    """Pool the texts of a packed row.

    Args:
        hidden: Hidden states [tokens, width].
        layout: Where the texts lie.
        method: `last` takes the state at a text's last token (the anchor), `mean` averages over all,
            `weighted_mean` with weights 1, 2, 3, ... (SGPT, arXiv 2202.08904).

    Returns:
        One vector a text [texts, width], in the type of `hidden`.
    """
    if method == "last":
        return hidden[layout.ends]
    wide = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
    weights = torch.ones(len(wide), 1, dtype=wide.dtype, device=wide.device)
    texts = layout.texts
    if method == "weighted_mean":
        starts = layout.ends + 1 - torch.tensor(layout.lengths, device=wide.device)
        places = torch.arange(len(wide), device=wide.device)
        weights = (places - starts[texts] + 1).to(wide.dtype)[:, None]
    totals = wide.new_zeros(len(layout.lengths), wide.shape[1]).index_add_(0, texts, wide * weights)
    sums = weights.new_zeros(len(layout.lengths), 1).index_add_(0, texts, weights)
    return (totals / sums).to(hidden.dtype)
