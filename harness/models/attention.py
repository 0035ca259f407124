"""Attention over packed texts, for every architecture that takes it from transformers' registry.

Owns one attention function and one mask function, registered with transformers under `NAME`. The rule:
while a layout is current, the packed row goes in and comes out, and inside each text sees only itself;
without one, both functions are transformers' own for SDPA. Sliding windows, causality and hidden tokens
follow the layer and the layout, never a guess. Dropout of attention weights is not applied.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from harness.models.kernels import variable_length_kernel
from harness.models.packing import Bucket, Layout, current_layout

NAME = "harness_packed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a layer asks of its attention function, over packed texts."""

    module: Any
    """The layer's attention."""
    is_causal: bool
    """Whether a token sees none after it."""
    window: int | None
    """Distance from which on tokens do not see each other; None where they see all."""
    scale: float | None
    """Factor of the scores; 1 / sqrt(width) when None."""
    softcap: float | None
    """Bound of the scores, None for none."""


_listener: ContextVar[list[Asked] | None] = ContextVar("listener", default=None)


@contextmanager
def listening() -> Iterator[list[Asked]]:
    """Collect what layers ask for meanwhile, in their order."""
    asked: list[Asked] = []
    token = _listener.set(asked)
    try:
        yield asked
    finally:
        _listener.reset(token)


def register() -> None:
    """Make the attention known to transformers under `NAME`; doing it twice does no harm."""
    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, _mask)


def _mask(*arguments: Any, **keywords: Any) -> torch.Tensor | None:
    return None if current_layout() is not None else sdpa_mask(*arguments, **keywords)


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **keywords: Any,
) -> tuple[torch.Tensor, None]:
    """Return attention: [1, heads, tokens, width] in, [1, tokens, heads, width] out for a packed row."""
    layout = current_layout()
    is_causal = is_causal_layer(module)
    if layout is not None and layout.is_causal is not None:
        is_causal = layout.is_causal
    window = _window(module, keywords.get("sliding_window"), is_causal=is_causal)
    scale = keywords.get("scaling")
    softcap = keywords.get("softcap")
    if layout is None and softcap is not None:
        mixed = _capped(
            query, key, value, mask=attention_mask, is_causal=is_causal, scale=scale, cap=softcap
        )
        return mixed.transpose(1, 2), None
    if layout is None:
        keywords.setdefault("is_causal", is_causal)
        return sdpa_attention_forward(module, query, key, value, attention_mask, **keywords)
    asked = _listener.get()
    if asked is not None:
        asked.append(
            Asked(module=module, is_causal=is_causal, window=window, scale=scale, softcap=softcap)
        )
    query, key, value = (item[0].transpose(0, 1) for item in (query, key, value))
    kernel = variable_length_kernel(query)
    if kernel is not None and softcap is None and layout.hidden is None:
        mixed = kernel(query, key, value, layout, is_causal=is_causal, window=window, scale=scale)
        return mixed.unsqueeze(0), None
    parts = []
    for number, bucket in enumerate(layout.buckets):
        sides = [_spread(item, bucket) for item in (query, key, value)]
        mask = _bucket_mask(layout, number, is_causal=is_causal, window=window)
        if softcap is not None:
            mixed = _capped(*sides, mask=mask, is_causal=is_causal, scale=scale, cap=softcap)
        else:
            mixed = functional.scaled_dot_product_attention(
                *_same_heads(*sides), attn_mask=mask, is_causal=is_causal and mask is None, scale=scale
            )
        parts.append(_gather(mixed, bucket))
    return torch.cat(parts).unsqueeze(0), None


def is_causal_layer(module: Any) -> bool:
    """Tell whether an attention layer is causal, by the layer and by its model's configuration."""
    config = getattr(module, "config", None)
    return bool(getattr(module, "is_causal", True)) and getattr(config, "is_causal", None) is not False


def _window(module: Any, size: int | None, *, is_causal: bool) -> int | None:
    """Return the distance from which on a layer's tokens do not see each other.

    Of a decoder made bidirectional by `is_causal: false`, transformers lets tokens see each other at the
    window's distance, too; elsewhere only nearer ones.
    """
    is_wider = getattr(getattr(module, "config", None), "is_causal", None) is False
    return size + 1 if size is not None and is_wider and not is_causal else size


def _same_heads(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    groups = query.shape[1] // key.shape[1]
    if groups == 1:
        return query, key, value
    return query, key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)


def _bucket_mask(
    layout: Layout, number: int, *, is_causal: bool, window: int | None
) -> torch.Tensor | None:
    """Return who sees whom in a bucket [texts or 1, 1, width, width]; None for plain causal or full."""
    bucket = layout.buckets[number]
    width = bucket.width
    if window is not None and window >= width:
        window = None
    key = (number, is_causal, window)
    if key in layout.masks:
        return layout.masks[key]
    # Under a causal mask, padding lies after every real token and needs no mask of its own.
    needs_padding = not is_causal and bucket.slots is not None
    mask: torch.Tensor | None = None
    if layout.hidden is not None or window is not None or needs_padding:
        device = layout.positions.device
        places = torch.arange(width, device=device)
        mask = torch.ones(1, 1, width, width, dtype=torch.bool, device=device)
        if is_causal:
            mask = mask & (places[None, :] <= places[:, None])
        if window is not None:
            mask = mask & ((places[:, None] - places[None, :]).abs() < window)
        if needs_padding:
            lengths = torch.tensor(bucket.lengths, device=device)
            mask = mask & (places[None, :] < lengths[:, None])[:, None, None, :]
        if layout.hidden is not None:
            part = layout.hidden[bucket.start : bucket.start + bucket.num_tokens]
            mask = mask & ~_spread(part[:, None, None], bucket)[..., 0][:, :, None, :]
    layout.masks[key] = mask
    return mask


def _capped(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    mask: torch.Tensor | None,
    is_causal: bool,
    scale: float | None,
    cap: float,
) -> torch.Tensor:
    """Return attention whose scores are bounded by `cap * tanh(score / cap)` (Gemma 2)."""
    query, key, value = _same_heads(query, key, value)
    scores = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scale is None else scale)
    scores = cap * torch.tanh(scores / cap)
    if mask is None and is_causal:
        width = scores.shape[-1]
        mask = torch.ones(width, width, dtype=torch.bool, device=scores.device).tril()
    if mask is not None:
        # Not minus infinity: a padding token that sees nobody would be no number and spoil the others.
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    shares = scores.softmax(dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32))
    return shares.to(value.dtype) @ value


def _spread(tokens: torch.Tensor, bucket: Bucket) -> torch.Tensor:
    """Return a bucket of all tokens [tokens, heads, width] as [texts, heads, positions, width]."""
    part = tokens[bucket.start : bucket.start + bucket.num_tokens]
    rows, positions = len(bucket.lengths), bucket.width
    if bucket.slots is not None:
        part = _Spread.apply(part, bucket.slots, rows * positions)
    return part.reshape(rows, positions, *part.shape[1:]).transpose(1, 2)


def _gather(rectangle: torch.Tensor, bucket: Bucket) -> torch.Tensor:
    """Return the tokens [tokens, heads, width] of a rectangle [texts, heads, positions, width]."""
    flat = rectangle.transpose(1, 2).flatten(0, 1)
    return flat if bucket.slots is None else _Gather.apply(flat, bucket.slots)


class _Spread(torch.autograd.Function):
    """Put rows at places among zeros; its gradient takes them from there."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, places: torch.Tensor, size: int) -> torch.Tensor:
        ctx.save_for_backward(places)
        return rows.new_zeros(size, *rows.shape[1:]).index_copy_(0, places, rows)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (places,) = ctx.saved_tensors
        return grads[0].index_select(0, places), None, None


class _Gather(torch.autograd.Function):
    """Take rows from places; its gradient puts them back among zeros, without torch's atomic sums."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(places)
        ctx.size = len(rows)
        return rows.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (places,) = ctx.saved_tensors
        slope = grads[0]
        return slope.new_zeros(ctx.size, *slope.shape[1:]).index_copy_(0, places, slope), None
