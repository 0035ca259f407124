"""Dropout that depends on the text and not on what it was batched with.

Owns `TextDropout` and its random numbers. The rule: whether an element is dropped is a function of the
seed, the text, the token's place, the layer and the column, computed by hashing. So a text meets the
same dropout whatever the size of a sub-batch, however many devices share a batch, and in the second pass
of gradient caching; and no random state has to be kept.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from harness.models.packing import current_layout

# One 32-bit hash serves two elements, 16 bits each.
_LEVELS = 1 << 16


class TextDropout(nn.Module):
    """Dropout of packed rows; outside of packed runs it is torch's own.

    Args:
        p: Probability that an element is dropped; rounded to 1/65536.
        layer: Number of the layer, so that two layers drop different elements.
    """

    def __init__(self, p: float, *, layer: int) -> None:
        super().__init__()
        self.p = p
        self.layer = layer
        self._columns: dict[tuple[int, torch.device], torch.Tensor] = {}

    @property
    def gain(self) -> float:
        """What kept elements are multiplied by, so that the mean stays."""
        return _LEVELS / (_LEVELS - round(self.p * _LEVELS))

    def kept(self, values: torch.Tensor) -> torch.Tensor | None:
        """Return which elements of `values` are kept [tokens, width]; None where none is dropped.

        It is None, too, outside of packed runs, which know of no texts.
        """
        layout = current_layout()
        if not self.training or self.p == 0 or layout is None or layout.dropout_keys is None:
            return None
        return keep_mask(layout.dropout_keys, self._column_keys(values), self.p, values.shape[-1])

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return `values` [..., tokens, width] with elements dropped and the others scaled up."""
        kept = self.kept(values)
        if kept is None:
            return functional.dropout(values, self.p, training=self.training)
        return _Dropout.apply(values, kept, self.gain)

    def _column_keys(self, values: torch.Tensor) -> torch.Tensor:
        width, device = values.shape[-1], values.device
        if (width, device) not in self._columns:
            # Plain numbers are enough: the hash of token and column mixes them.
            generator = torch.Generator().manual_seed(self.layer)
            half = (width + 1) // 2
            keys = torch.randint(-(2**31), 2**31 - 1, (half,), generator=generator, dtype=torch.int32)
            self._columns[width, device] = keys.to(device)
        return self._columns[width, device]


def keep_mask(tokens: torch.Tensor, columns: torch.Tensor, p: float, width: int) -> torch.Tensor:
    """Return which elements are kept [tokens, width].

    Args:
        tokens: Random number of each token [tokens], int32.
        columns: Random number of each pair of columns [ceil(width / 2)], int32.
        p: Probability that an element is dropped.
        width: Number of columns.
    """
    # Two rounds of multiply and shift, of odd numbers, with products that wrap around.
    mixed = (tokens | 1)[:, None] * (columns | 1)[None, :]
    mixed ^= (mixed >> 15) & 0x1FFFF
    mixed *= 0x7FEB352D
    mixed ^= (mixed >> 16) & 0xFFFF
    return (mixed.view(torch.int16) >= round(p * _LEVELS) - _LEVELS // 2)[:, :width]


class _Dropout(torch.autograd.Function):
    """Product with a mask that is kept as booleans, a quarter of the memory of torch's."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, kept: torch.Tensor, scale: float) -> torch.Tensor:
        ctx.save_for_backward(kept)
        ctx.scale = scale
        return torch.where(kept, values, values.new_zeros(())).mul_(scale)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (kept,) = ctx.saved_tensors
        return torch.where(kept, grads[0], grads[0].new_zeros(())).mul_(ctx.scale), None, None


def use_text_dropout(model: nn.Module) -> None:
    """Put `TextDropout` in the place of every dropout layer of `model`."""
    found = [
        (parent, name, layer)
        for parent in model.modules()
        for name, layer in parent.named_children()
        if isinstance(layer, nn.Dropout)
    ]
    for number, (parent, name, layer) in enumerate(found):
        setattr(parent, name, TextDropout(layer.p, layer=number).train(layer.training))
