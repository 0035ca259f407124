"""Whether a network may be run by `fused_decoder`, and texts share what they begin with there.

Owns both decisions. The rule: the blocks must be built of the parts that the fused pass knows, and texts
of several lengths, alone and in company, must get the vectors of the ordinary pass. Whatever else a
network does (scaled embeddings, another activation, layers without positions) shows there, and it stays
with the ordinary pass. How far tokens see is what the layers ask for, so it holds at any length.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers.activations import SiLUActivation

from harness.models.attention import listening
from harness.models.forward import Rows, embed_rows
from harness.models.fused_decoder import Beginning, FusedDecoder
from harness.models.invariance import find_floor
from harness.models.pooling import Pooling

TOLERANCE = 1e-5
"""Largest difference of a unit vector's element."""
_SHARED_TOKENS = 24
_LENGTHS = (1, 2, 7, 33, 33, 200)
_PARTS = {
    *(f"self_attn.{name}_proj" for name in "qkvo"),
    *(f"mlp.{name}_proj" for name in ("gate", "up", "down")),
    *("mlp.act_fn", "input_layernorm", "post_attention_layernorm"),
}
_HEAD_NORMS = {"self_attn.q_norm", "self_attn.k_norm"}
_GROWING_ROPES = ("dynamic", "longrope")
"""Rotations that follow from the longest text of a batch."""


def fuse(decoder: Any, pooling: Pooling, *, max_length: int) -> FusedDecoder | None:
    """Return the fused pass of a network; None where the network must run as transformers has it.

    Args:
        decoder: The network below the vocabulary head, its attention ours.
        pooling: How a vector is taken.
        max_length: Tokens of the longest text.
    """
    weight = next(decoder.parameters())
    has_type = weight.device.type == "cpu" and weight.dtype == torch.float32
    if not has_type or decoder.training or not _is_known(decoder):
        return None
    size = int(decoder.get_input_embeddings().weight.shape[0])
    lengths = [min(length, max_length) for length in _LENGTHS]
    rows = [
        [(7919 * place + 131 * number + 17) % size for place in range(length)]
        for number, length in enumerate(lengths)
    ]
    with torch.inference_mode():
        with listening() as asked:
            wanted = embed_rows(decoder, rows, pooling)
        is_heard = [one.module for one in asked] == [layer.self_attn for layer in decoder.layers]
        if not is_heard or any(one.softcap is not None for one in asked):
            return None
        fused = FusedDecoder(decoder, asked, max_length=max_length)
        alone = [fused.embed([row], pooling)[0] for row in rows]
        for found in (fused.embed(rows, pooling), torch.stack(alone)):
            difference = nn.functional.normalize(found, dim=-1) - nn.functional.normalize(wanted, dim=-1)
            if not difference.abs().max() <= TOLERANCE:
                return None
    return fused


@torch.inference_mode()
def may_share(fused: FusedDecoder, *, floor: int, vocabulary: int, max_length: int) -> bool:
    """Tell whether texts may share what they begin with, for `last` pooling.

    The vectors must be those without sharing, up to rounding, and with a floor have the same bits in
    any company.

    Args:
        fused: The pass.
        floor: Rows of every product at least; 0 where vectors depend on their company in any case.
        vocabulary: Token ids there are.
        max_length: Tokens of the longest text.
    """
    room = max_length - _SHARED_TOKENS
    if not fused.is_causal or room < 1:
        return False
    ids = [(104_729 * place + 7) % vocabulary for place in range(_SHARED_TOKENS)]
    beginning = fused.begin(ids, floor=floor)

    def embed(rows: Rows, *, floor: int, shared: Beginning | None = beginning) -> torch.Tensor:
        return fused.embed([[*ids, *row] for row in rows], "last", floor=floor, beginning=shared)

    rows = [[number % vocabulary] * min(number, room) for number in (1, 2, 9, 40)]
    found, wanted = (
        nn.functional.normalize(embed(rows, floor=floor, shared=shared), dim=-1)
        for shared in (beginning, None)
    )
    if not (found - wanted).abs().max() <= TOLERANCE:
        return False
    floors = [floor]
    return not floor or find_floor(embed, vocabulary=vocabulary, max_length=room, floors=floors) > 0


def _is_known(decoder: Any) -> bool:
    """Tell whether a network is made of parts that the fused pass knows."""
    blocks, rotary = getattr(decoder, "layers", None), getattr(decoder, "rotary_emb", None)
    rope = getattr(rotary, "rope_type", None)
    if not blocks or not isinstance(rope, str) or rope in _GROWING_ROPES:
        return False
    return _is_norm(getattr(decoder, "norm", None)) and all(_is_known_block(block) for block in blocks)


def _is_known_block(block: nn.Module) -> bool:
    parts = {
        name: part for name, part in block.named_modules() if not any(True for _ in part.children())
    }
    extras = parts.keys() - _PARTS
    if not parts.keys() >= _PARTS or (extras and extras != _HEAD_NORMS):
        return False
    linears = [part for name, part in parts.items() if name.endswith("_proj")]
    norms = [part for name, part in parts.items() if name.endswith("norm")]
    if any(type(part) is not nn.Linear for part in linears) or not all(map(_is_norm, norms)):
        return False
    query, key, value = (parts[f"self_attn.{name}_proj"] for name in "qkv")
    is_like = key.weight.shape == value.weight.shape
    has_biases = {part.bias is not None for part in (query, key, value)}
    return is_like and len(has_biases) == 1 and type(parts["mlp.act_fn"]) in (nn.SiLU, SiLUActivation)


def _is_norm(part: Any) -> bool:
    return type(part).__name__.endswith("RMSNorm") and hasattr(part, "variance_epsilon")
