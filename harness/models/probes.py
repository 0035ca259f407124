"""Checks on the real model that guard against numbers that are wrong and look right.

Owns the probes of a model: anchor, attention, padding, adapter, stored embeddings. The rule: each runs
in seconds on the model that is about to be used, and raises a `ProbeError` that names the cause. Nothing
here changes a weight. What is checked of a loss and its gradients is `harness.training.probes`' affair.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from harness.errors import ProbeError
from harness.models.architecture import sees_later_tokens
from harness.models.forward import embed_batches, embed_rows, first_position
from harness.models.network import Network
from harness.models.pooling import Pooling

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
    for probe in probes_of(network).values():
        probe(network)


def probes_of(network: Network) -> dict[str, Callable[[Network], None]]:
    """Return the probes that apply to a network, by what they check."""
    probes: dict[str, Callable[[Network], None]] = {
        "anchor ends every text": probe_anchor,
        "attention as declared": probe_attention,
        "padding moves no embedding": probe_padding,
    }
    if network.adapted is not None:
        probes["adapter is applied"] = probe_adapter
    if network.manifest is not None:
        probes["embeddings as stored"] = probe_stored
    return probes


@torch.inference_mode()
def probe_embeddings(network: Network) -> np.ndarray:
    """Return the unit vectors of the probe texts [texts, dimension] in float32."""
    rows = network.tokenizer.tokenise(PROBE_TEXTS, network.config.max_length)
    vectors = embed_batches(network.decoder, rows, network.config.pooling, tokens=_PROBE_TOKENS)
    return nn.functional.normalize(vectors.float(), dim=-1).cpu().numpy()


def probe_anchor(network: Network) -> None:
    """Check that leading tokens and anchor frame every row: an empty text, a short, a cut one.

    One text names the anchor itself.
    """
    tokenizer, limit = network.tokenizer, network.config.max_length
    rows = tokenizer.tokenise(["", "word", "word " * (2 * limit), f"a {tokenizer.anchor} b"], limit)
    if any(row[-1] != tokenizer.anchor_id for row in rows):
        raise ProbeError("a row of token ids does not end in the anchor token")
    leading = rows[0][: tokenizer.num_leading]
    if any(row[: tokenizer.num_leading] != leading for row in rows):
        raise ProbeError(f"not every row of token ids begins with {leading}")
    if len(rows[2]) != limit:
        raise ProbeError(f"a long text is cut to {len(rows[2])} tokens instead of {limit}")


@torch.inference_mode()
def probe_attention(network: Network) -> None:
    """Check that a token sees what the configuration declares: nothing after it, or all of the text.

    Checked on one text alone, without a mask and with one, since kernels treat the two apart.
    """
    row = network.tokenizer.tokenise([PROBE_TEXTS[-1]], network.config.max_length)[0]
    if len(row) < 3:
        raise ProbeError(f"max_length {network.config.max_length} is too short to probe the attention")
    first_changed = [_other(row[0]), *row[1:]]
    last_changed = [*row[:-1], _other(row[-1])]
    declares_later = sees_later_tokens(network.decoder.config)
    for way in ("without a mask", "with a mask"):
        states = [_states(network, item, way) for item in (row, first_changed, last_changed)]
        plain, first, last = (nn.functional.normalize(item, dim=-1) for item in states)
        later = (plain[:-1] - last[:-1]).abs().amax(dim=-1)
        # Beside the changed token: a sliding window may hide it from those further away.
        if declares_later and not later[-1].item() > _tolerance(network):
            raise ProbeError(
                f"the attention is declared bidirectional, but {way} no token sees the one after it",
                cure="`is_causal` must be false in config.json, and the architecture must follow it; "
                "else set model.attention to causal.",
            )
        if not declares_later and later.max().item() > _tolerance(network):
            raise ProbeError(
                f"the attention mask is not causal: {way} a token's state depends on later tokens",
                cure="Use a decoder with causal attention, or set model.attention to bidirectional.",
            )
        if (plain[1] - first[1]).abs().max().item() == 0.0:
            raise ProbeError(
                f"the attention is cut off: {way} a token's state ignores the one before it",
                cure="The checkpoint's attention weights are zero or damaged.",
            )


@torch.inference_mode()
def probe_padding(network: Network) -> None:
    """Check that a vector is the same alone, in a batch, and padded on either side with a mask.

    Alone and in a batch, texts go through the project's packed pass; padded, as other libraries do it.
    """
    rows = network.tokenizer.tokenise(PROBE_TEXTS, network.config.max_length)
    pooling, width = network.config.pooling, max(len(row) for row in rows)
    alone = torch.stack([embed_rows(network.decoder, [row], pooling)[0] for row in rows])
    ways = {
        "in a batch": embed_rows(network.decoder, rows[::-1], pooling).flip(0),
        "padded on the right with a mask": _padded(network, rows, width, side="right"),
        "padded on the left with a mask": _padded(network, rows, width, side="left"),
    }
    reference = nn.functional.normalize(alone.float(), dim=-1)
    for way, vectors in ways.items():
        difference = (nn.functional.normalize(vectors.float(), dim=-1) - reference).abs().max().item()
        if not difference <= _tolerance(network):
            raise ProbeError(
                f"padding moves an embedding: {way} it differs by {difference:.2g} from the text alone",
                cure="The pooled position or the attention mask is wrong for this base.",
            )


def probe_adapter(network: Network) -> None:
    """Check that the adapter changes the embeddings of the weights that it lies beside."""
    if network.adapted is None:
        raise ValueError("a network without an adapter has none to check")
    with network.adapted.disable_adapter():
        base = probe_embeddings(network)
    if compare(probe_embeddings(network), base) == 0.0:
        raise ProbeError(
            "the adapter is not applied: with it and without it the probe embeddings are the same",
            cure="The adapter is zero, switched off or on layers that are not used; make it again.",
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


def compare(left: np.ndarray, right: np.ndarray) -> float:
    """Return the largest absolute difference of two arrays; infinity where their shapes differ."""
    if left.shape != right.shape:
        return float("inf")
    return float(np.abs(left.astype(np.float64) - right.astype(np.float64)).max())


def _states(network: Network, row: list[int], way: str) -> torch.Tensor:
    """Return the states of one text [tokens, width] as other libraries compute them."""
    ids = torch.tensor([row], dtype=torch.long, device=network.device)
    mask = {"attention_mask": torch.ones_like(ids)} if way == "with a mask" else {}
    hidden: torch.Tensor = network.decoder(input_ids=ids, **mask, **_caching(network)).last_hidden_state
    return hidden[0].float()


def _padded(network: Network, rows: Sequence[list[int]], width: int, *, side: str) -> torch.Tensor:
    """Return the vectors of rows [rows, width] padded to `width` with an explicit attention mask."""
    fill = network.tokenizer.padding_id
    gaps = [width - len(row) for row in rows]
    before = gaps if side == "left" else [0] * len(rows)
    padded = [
        [fill] * gap + row + [fill] * (width - gap - len(row))
        for gap, row in zip(before, rows, strict=True)
    ]
    ids = torch.tensor(padded, dtype=torch.long, device=network.device)
    mask = torch.zeros_like(ids)
    for place, (gap, row) in enumerate(zip(before, rows, strict=True)):
        mask[place, gap : gap + len(row)] = 1
    positions = (mask.cumsum(dim=-1) - 1).clamp(min=0) + first_position(network.decoder)
    hidden = network.decoder(
        input_ids=ids, attention_mask=mask, position_ids=positions, **_caching(network)
    ).last_hidden_state
    parts = [states[gap : gap + len(row)] for states, gap, row in zip(hidden, before, rows, strict=True)]
    return torch.stack([_pooled(part, network.config.pooling) for part in parts])


def _pooled(states: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """Return one text's vector from its states [tokens, width], written down a second time."""
    if pooling == "last":
        return states[-1]
    weights = torch.ones(len(states), device=states.device)
    if pooling == "weighted_mean":
        weights = weights.cumsum(dim=0)
    return (states.float() * weights[:, None]).sum(dim=0) / weights.sum()


def _caching(network: Network) -> dict[str, bool]:
    """Keep decoders from filling a cache of keys and values; encoders have none."""
    return {"use_cache": False} if hasattr(network.decoder.config, "use_cache") else {}


def _tolerance(network: Network) -> float:
    return _TOLERANCE[network.decoder.dtype]


def _other(token: int) -> int:
    return token - 1 if token > 0 else 1
