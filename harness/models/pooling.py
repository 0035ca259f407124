"""From the hidden states of a text's tokens to one vector.

Owns the two ways of pooling. The rule: only real tokens count, wherever a row is padded, and means
are taken in float32 or wider. Normalisation is left to the callers: the reconstruction loss needs the
vector as it is.
"""

from __future__ import annotations

from typing import Literal

import torch

Pooling = Literal["last", "mean"]


def pool(hidden: torch.Tensor, lengths: torch.Tensor, method: Pooling) -> torch.Tensor:
    """Pool rows that are padded on the right.

    Args:
        hidden: Hidden states [rows, positions, width].
        lengths: Number of real tokens of each row [rows].
        method: `last` takes the state at the last real token (the anchor), `mean` averages over all.

    Returns:
        One vector a row [rows, width], in the type of `hidden`.
    """
    if method == "last":
        rows = torch.arange(hidden.shape[0], device=hidden.device)
        return hidden[rows, lengths - 1]
    positions = torch.arange(hidden.shape[1], device=hidden.device)
    is_real = (positions[None, :] < lengths[:, None]).unsqueeze(-1)
    wide = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
    total = torch.where(is_real, wide, torch.zeros((), dtype=wide.dtype, device=wide.device)).sum(dim=1)
    return (total / lengths[:, None].to(wide.dtype)).to(hidden.dtype)
