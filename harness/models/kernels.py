"""The variable-length attention kernel of CUDA devices, where it works.

Owns the choice of PyTorch's `varlen_attn` (FlashAttention under it). The rule: it is taken only after a
trial on the device at hand has given the same numbers as plain attention; everywhere else, the caller
computes rectangles. It takes 16-bit tensors only and is not deterministic in its backward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch.nn import functional

from harness.models.packing import Layout, make_layout

Kernel = Callable[..., torch.Tensor]
_TOLERANCE = 2e-2


def variable_length_kernel(query: torch.Tensor) -> Kernel | None:
    """Return the kernel for tensors like `query` [tokens, heads, width], None where there is none."""
    if query.device.type != "cuda" or query.dtype not in (torch.bfloat16, torch.float16):
        return None
    return _trusted_kernel(query.device, query.dtype, query.shape[-1])


@cache
def _trusted_kernel(device: torch.device, dtype: torch.dtype, width: int) -> Kernel | None:
    """Return the kernel if two short texts come out as by plain attention."""
    try:
        layout = make_layout([3, 5], device=device)
        query, key, value = torch.randn(3, 8, 2, width, device=device, dtype=dtype)
        found = run_varlen(query, key, value, layout, is_causal=True, window=None, scale=None)
    except (ImportError, RuntimeError):
        return None
    parts = []
    for first, last in ((0, 3), (3, 8)):
        left, middle, right = (side[first:last].transpose(0, 1).float() for side in (query, key, value))
        mixed = functional.scaled_dot_product_attention(left, middle, right, is_causal=True)
        parts.append(mixed.transpose(0, 1))
    wanted = torch.cat(parts)
    return run_varlen if bool((found.float() - wanted).abs().max() <= _TOLERANCE) else None


def run_varlen(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: Layout,
    *,
    is_causal: bool,
    window: int | None,
    scale: float | None,
    kernel: Any = None,
) -> torch.Tensor:
    """Return attention of packed texts by `torch.nn.attention.varlen`.

    Args:
        query: Queries [tokens, heads, width].
        key: Keys [tokens, key heads, width].
        value: Values [tokens, key heads, width].
        layout: Where the texts lie.
        is_causal: Whether a token sees only those before it.
        window: Tokens that a token sees, itself included; None for all.
        scale: Factor of the scores; 1 / sqrt(width) when None.
        kernel: The function to call; PyTorch's when None.
    """
    if kernel is None:
        from torch.nn.attention.varlen import varlen_attn as kernel
    lengths = torch.tensor([0, *layout.lengths], dtype=torch.int32, device=query.device)
    bounds = lengths.cumsum(0, dtype=torch.int32)
    longest = max(layout.lengths)
    before = -1 if window is None else window - 1
    mixed: torch.Tensor = kernel(
        query.contiguous(),
        key.contiguous(),
        value.contiguous(),
        bounds,
        bounds,
        longest,
        longest,
        scale=scale,
        window_size=(before, 0 if is_causal else before),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return mixed
