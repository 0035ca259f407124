"""The last feed-forward layer, for the tokens that anybody asks about.

Owns one shortcut: where only some tokens' final states are wanted (the anchors', for `last` pooling),
the feed-forward part of the last block runs on those tokens alone. The rule: a wanted token's state is
what it would be without the shortcut; the states of the others mean nothing and must not be read. Bases
without a block of the usual make run in full.
"""

from __future__ import annotations

from dataclasses import replace
from types import MethodType
from typing import Any

import torch

from harness.models.packing import current_layout, using_layout


def skip_unwanted(decoder: Any) -> bool:
    """Give the last block's feed-forward layer the shortcut; tell whether there is such a layer."""
    blocks = getattr(decoder, "layers", None)
    layer = getattr(blocks[-1], "mlp", None) if blocks else None
    if layer is None:
        return False
    layer.forward = MethodType(_forward, layer)
    return True


def _forward(layer: Any, hidden: torch.Tensor, *arguments: Any, **keywords: Any) -> Any:
    whole = type(layer).forward
    layout = current_layout()
    if layout is None or layout.wanted is None:
        return whole(layer, hidden, *arguments, **keywords)
    keys = layout.dropout_keys
    few = replace(layout, dropout_keys=None if keys is None else keys[layout.wanted])
    with using_layout(few):
        states = whole(layer, hidden[:, layout.wanted], *arguments, **keywords)
    return torch.zeros_like(hidden).index_copy(1, layout.wanted, states)
