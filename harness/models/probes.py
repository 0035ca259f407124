"""Checks on the real model that guard against numbers that are wrong and look right.

Owns the probes of a model: anchor, padding, causal mask, stored embeddings, adapter gradients. The
rule: each runs in seconds on the model that is about to be used, and raises a `ProbeError` that names
the cause. Nothing here changes a weight.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from harness.errors import ProbeError
from harness.models.forward import embed_batches, pad_rows
from harness.models.lora import is_second_factor
from harness.models.network import Network

PROBE_TEXTS = (
    "river",
    "The committee will meet again on Thursday.",
    "How do plants turn sunlight into sugar?",
    "SELECT name FROM users WHERE age > 30;",
    "El tren sale a las ocho de la manana.",
    "Shares fell 4.2% after the company cut its forecast for the third time this year.",
    "A recipe: boil the potatoes, drain them, add butter and a pinch of salt, and mash until smooth.",
    (
        "The old lighthouse keeper climbed the stairs every evening, lit the lamp and wrote one line in "
        "the log about wind and weather, as his father had done before him for thirty years."
    ),
)
_PROBE_TOKENS = 512
_TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}


def run_probes(network: Network) -> None:
    """Run every probe that needs no training step.

    Raises:
        ProbeError: Naming the first fault found.
    """
    probe_anchor(network)
    probe_causality(network)
    probe_padding(network)
    if network.manifest is not None:
        probe_stored(network)


@torch.inference_mode()
def probe_embeddings(network: Network) -> np.ndarray:
    """Return the unit vectors of the probe texts [texts, dimension] in float32."""
    rows = network.tokenizer.tokenise(PROBE_TEXTS, network.config.max_length)
    vectors = embed_batches(network.decoder, rows, network.config.pooling, tokens=_PROBE_TOKENS)
    return nn.functional.normalize(vectors.float(), dim=-1).cpu().numpy()


def probe_anchor(network: Network) -> None:
    """Check that the anchor ends every row: an empty text, a short, a cut one, one that names it."""
    tokenizer, limit = network.tokenizer, network.config.max_length
    long = "word " * (2 * limit)
    rows = tokenizer.tokenise(["", "word", long, f"a {tokenizer.anchor} b"], limit)
    if any(row[-1] != tokenizer.anchor_id for row in rows):
        raise ProbeError("a row of token ids does not end in the anchor token")
    if len(rows[2]) != limit:
        raise ProbeError(f"a long text is cut to {len(rows[2])} tokens instead of {limit}")


@torch.inference_mode()
def probe_causality(network: Network) -> None:
    """Check that a token sees all tokens before it and none after it.

    The forward pass without an attention mask is exact only then.
    """
    row = network.tokenizer.tokenise([PROBE_TEXTS[-1]], network.config.max_length)[0]
    middle = len(row) // 2
    first_changed, last_changed = list(row), list(row)
    first_changed[0] = _other(row[0])
    last_changed[-1] = _other(row[-1])
    ids, _ = pad_rows([row, first_changed, last_changed], device=network.device)
    hidden = network.decoder(input_ids=ids, use_cache=False).last_hidden_state.float()
    plain, first, last = (nn.functional.normalize(item, dim=-1) for item in hidden)
    tolerance = _tolerance(network)
    if (plain[:-1] - last[:-1]).abs().max().item() > tolerance:
        raise ProbeError(
            "the attention mask is not causal: a token's state depends on later tokens",
            cure="Use a decoder with causal attention (`is_causal` must not be false in config.json).",
        )
    if middle > 0 and (plain[-1] - first[-1]).abs().max().item() == 0.0:
        raise ProbeError("the attention is cut off: the anchor's state ignores the first token")


@torch.inference_mode()
def probe_padding(network: Network) -> None:
    """Check that a vector is the same alone, in a batch, and padded on either side with a mask."""
    rows = network.tokenizer.tokenise(PROBE_TEXTS, network.config.max_length)
    shortest, longest = min(rows, key=len), max(rows, key=len)
    pooling = network.config.pooling
    alone = embed_batches(network.decoder, [shortest], pooling, tokens=_PROBE_TOKENS)[0]
    slots = 2 * len(longest)
    ways = {
        "in a batch padded on the right": embed_batches(
            network.decoder, [shortest, longest], pooling, tokens=slots
        )[0],
        "in a batch padded on the right with a mask": _masked(
            network, shortest, len(longest), side="right"
        ),
        "in a batch padded on the left with a mask": _masked(
            network, shortest, len(longest), side="left"
        ),
    }
    reference = nn.functional.normalize(alone.float(), dim=-1)
    for way, vector in ways.items():
        difference = (nn.functional.normalize(vector.float(), dim=-1) - reference).abs().max().item()
        if not difference <= _tolerance(network):
            raise ProbeError(
                f"padding moves an embedding: {way} it differs by {difference:.2g} from the text alone",
                cure="The pooled position or the attention mask is wrong for this base.",
            )


def probe_stored(network: Network) -> None:
    """Check that the loaded model gives the embeddings that were stored when it was written."""
    manifest = network.manifest
    if manifest is None:
        raise ValueError("a network without a folder has no stored embeddings")
    if manifest.probe_texts != PROBE_TEXTS or manifest.anchor_id != network.tokenizer.anchor_id:
        raise ProbeError("the model folder was written with other probe texts or another anchor token")
    difference = compare(probe_embeddings(network), manifest.stored())
    if not difference <= _tolerance(network):
        raise ProbeError(
            f"the loaded model is not what was saved: its probe embeddings differ by {difference:.2g}",
            cure="Weights, adapter or tokenizer were changed or not applied; make the model again.",
        )


def probe_gradients(factors: Mapping[str, nn.Parameter], *, is_first_step: bool) -> None:
    """Check that every adapter factor has a finite gradient that is not zero.

    In the very first step the second factors are zero, so the first ones have no gradient yet.
    """
    for name, factor in factors.items():
        if factor.grad is None:
            raise ProbeError(f"adapter factor {name} gets no gradient: it is not part of the loss")
        if not bool(torch.isfinite(factor.grad).all()):
            raise ProbeError(f"adapter factor {name} has a gradient that is not finite")
        may_be_zero = is_first_step and not is_second_factor(name)
        if not may_be_zero and not bool(factor.grad.any()):
            raise ProbeError(
                f"adapter factor {name} has a gradient of zero: it does not learn",
                cure="The loss does not reach it, or is zero (a batch of one without negatives is).",
            )


def compare(left: np.ndarray, right: np.ndarray) -> float:
    """Return the largest absolute difference of two arrays; infinity where their shapes differ."""
    if left.shape != right.shape:
        return float("inf")
    return float(np.abs(left.astype(np.float64) - right.astype(np.float64)).max())


def _masked(network: Network, row: list[int], width: int, *, side: str) -> torch.Tensor:
    """Return the vector of one row [width] padded to `width` with an explicit attention mask."""
    padding = width - len(row)
    before, after = (padding, 0) if side == "left" else (0, padding)
    device = network.device
    ids = torch.tensor([[0] * before + row + [0] * after], dtype=torch.long, device=device)
    mask = torch.tensor([[0] * before + [1] * len(row) + [0] * after], dtype=torch.long, device=device)
    positions = (mask.cumsum(dim=-1) - 1).clamp(min=0)
    hidden = network.decoder(
        input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False
    ).last_hidden_state[0]
    real = hidden[before : before + len(row)]
    if network.config.pooling == "last":
        vector: torch.Tensor = real[-1]
        return vector
    return real.float().mean(dim=0)


def _tolerance(network: Network) -> float:
    return _TOLERANCE[network.decoder.dtype]


def _other(token: int) -> int:
    return token - 1 if token > 0 else 1
