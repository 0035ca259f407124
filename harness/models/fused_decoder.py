"""The forward pass of decoders of Llama's make, written out for inference on a processor.

Owns the pass of blocks that are RMSNorm, rotary attention and SwiGLU (Llama, Mistral, Qwen 2 and 3):
nothing is computed for padding, nothing is allocated a layer, sums and activations are done where the
numbers lie, and the last block runs for the tokens that a vector is taken from. The rule: rows of a
product keep company with at least `floor` others, and attention knows a text's own length alone, so a
text's bits do not follow from what it is computed with. Whether a network may be run so is decided by
`fused_trial`; gradients and dropout are left to the ordinary pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from harness.models.attention import Asked
from harness.models.forward import Rows
from harness.models.fused_attention import Heads, Run, attend, attend_ends, runs_of
from harness.models.packing import make_layout
from harness.models.pooling import Pooling, pool

_CHUNK_TOKENS = 512
"""Rows that go through a block's products together at least; their states stay in the caches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """Tokens that texts begin with, and what later tokens see of them."""

    ids: tuple[int, ...]
    keys: tuple[torch.Tensor, ...]
    """Keys and values of each layer [tokens, 2 * key heads, width]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """One layer: its own weights, but for those of queries, keys and values, which lie together."""

    layer: Any
    weight: torch.Tensor
    """Of queries, keys and values [hidden, columns]; within a head, rotated pairs are neighbours."""
    bias: torch.Tensor | None
    heads: Heads
    norm: tuple[torch.Tensor, float] | None
    """Of queries and keys [heads, width], and its epsilon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """One packed row under way."""

    states: torch.Tensor
    """States between the layers [rows, hidden]; rows past the texts' tokens make up the floor."""
    turns: torch.Tensor
    """Rotation of each row [rows, 1, half a head], complex."""
    runs: list[Run]
    projected: torch.Tensor
    """Queries, keys and values [rows, columns]."""
    mixed: torch.Tensor
    """What attention gives [rows, query heads * width]."""


class FusedDecoder:
    """A decoder's weights, run in place.

    Args:
        decoder: The network below the vocabulary head, on the processor. It must be of the make above.
        asked: What each layer asks of attention.
        max_length: Tokens of the longest text.
    """

    def __init__(self, decoder: Any, asked: Sequence[Asked], *, max_length: int) -> None:
        self._table: torch.Tensor = decoder.get_input_embeddings().weight
        self._norm = decoder.norm
        self._blocks = [_block(layer, one) for layer, one in zip(decoder.layers, asked, strict=True)]
        # All positions at once: how many there are may change a sine's last bit.
        places = torch.arange(max_length)[None]
        halves = [part[0].chunk(2, dim=-1)[0] for part in decoder.rotary_emb(self._table, places)]
        self.is_causal = all(one.is_causal for one in asked)
        """Whether no token sees one after it."""
        self._turns = torch.complex(*(half.contiguous() for half in halves))
        """The rotation at each position [max_length, half a head]."""

    @torch.inference_mode()
    def embed(
        self, rows: Rows, pooling: Pooling, *, floor: int = 0, beginning: Beginning | None = None
    ) -> torch.Tensor:
        """Run some texts as one packed row and pool them.

        Args:
            rows: Token ids; neighbours of one length are computed together.
            pooling: How the vector is taken.
            floor: Rows of every product at least.
            beginning: What every row begins with; its tokens are not computed again. For `last` pooling.

        Returns:
            Vectors [texts, hidden], not normalised.
        """
        skipped = 0 if beginning is None else len(beginning.ids)
        work = self._start(rows, skipped=skipped, floor=floor)
        shared = [None] * len(self._blocks) if beginning is None else beginning.keys
        for block, keys in zip(self._blocks[:-1], shared, strict=False):
            self._project(block, work)
            attend(_by_head(work.projected, block), block.heads, work.runs, shared=keys, out=work.mixed)
            _finish(block, work.states, work.mixed)
        block = self._blocks[-1]
        self._project(block, work)
        by_head = _by_head(work.projected, block)
        if pooling != "last":
            attend(by_head, block.heads, work.runs, out=work.mixed)
            _finish(block, work.states, work.mixed)
            states = _normalised(work.states, self._norm.weight, self._norm.variance_epsilon)
            lengths = [len(row) for row in rows]
            return pool(states[: sum(lengths)], make_layout(lengths, device=states.device), pooling)
        ends = torch.tensor([len(row) - skipped for row in rows]).cumsum(0) - 1
        num_rows = max(floor, len(rows))
        states = work.states.new_zeros(num_rows, work.states.shape[1])
        mixed = work.mixed.new_zeros(num_rows, work.mixed.shape[1])
        states[: len(rows)] = work.states[ends]
        attend_ends(by_head, block.heads, work.runs, shared=shared[-1], out=mixed)
        _finish(block, states, mixed)
        return _normalised(states[: len(rows)], self._norm.weight, self._norm.variance_epsilon)

    @torch.inference_mode()
    def begin(self, ids: Sequence[int], *, floor: int = 0) -> Beginning:
        """Compute what texts that begin with `ids` see of them. Tokens must see none after them."""
        work = self._start([ids], skipped=0, floor=floor)
        keys = []
        for number, block in enumerate(self._blocks):
            self._project(block, work)
            by_head = _by_head(work.projected, block)
            keys.append(by_head[: len(ids), block.heads.num_queries :].clone())
            if number + 1 < len(self._blocks):
                attend(by_head, block.heads, work.runs, out=work.mixed)
                _finish(block, work.states, work.mixed)
        return Beginning(ids=tuple(ids), keys=tuple(keys))

    def _start(self, rows: Rows, *, skipped: int, floor: int) -> _Work:
        tokens = [token for row in rows for token in row[skipped:]]
        runs = runs_of([len(row) - skipped for row in rows])
        num_rows = max(floor, len(tokens))
        ids = torch.zeros(num_rows, dtype=torch.long)
        ids[: len(tokens)] = torch.tensor(tokens)
        positions = torch.zeros(num_rows, dtype=torch.long)
        for run in runs:
            positions[run.tokens].view(run.num, run.length)[:] = torch.arange(
                skipped, skipped + run.length
            )
        heads = self._blocks[0].heads
        return _Work(
            states=self._table[ids],
            turns=self._turns[positions, None],
            runs=runs,
            projected=self._table.new_empty(num_rows, self._blocks[0].weight.shape[1]),
            # Rows that belong to no text are mixed from nothing.
            mixed=self._table.new_zeros(num_rows, heads.num_queries * heads.width),
        )

    def _project(self, block: _Block, work: _Work) -> None:
        """Put rotated queries and keys, and values, of all rows in their place."""
        heads, norm = block.heads, block.layer.input_layernorm
        num_turned = heads.num_queries + heads.num_keys
        for rows in _chunks(len(work.states)):
            states = _normalised(work.states[rows], norm.weight, norm.variance_epsilon)
            projected = work.projected[rows]
            if block.bias is None:
                torch.mm(states, block.weight, out=projected)
            else:
                torch.addmm(block.bias, states, block.weight, out=projected)
            turned = _by_head(projected, block)[:, :num_turned]
            if block.norm is not None:
                turned.copy_(_normalised(turned, *block.norm))
            torch.view_as_complex(turned.unflatten(-1, (-1, 2))).mul_(work.turns[rows])


def _block(layer: Any, asked: Asked) -> _Block:
    attention = layer.self_attn
    width = attention.head_dim
    parts = (attention.q_proj, attention.k_proj, attention.v_proj)
    num_queries, num_keys, _ = (part.out_features // width for part in parts)
    # Halves of a head are rotated together; side by side, each pair is a complex number.
    order = torch.arange(width).view(2, -1).T.flatten()
    turned = torch.arange((num_queries + num_keys) * width).view(-1, width)[:, order].flatten()
    columns = torch.cat([turned, torch.arange(len(turned), len(turned) + num_keys * width)])
    weight = torch.cat([part.weight for part in parts])[columns].T.contiguous()
    bias = norm = None
    if attention.q_proj.bias is not None:
        bias = torch.cat([part.bias for part in parts])[columns]
    if hasattr(attention, "q_norm"):
        scales = (attention.q_norm.weight[order], attention.k_norm.weight[order])
        spread = [
            scale.expand(num, -1) for scale, num in zip(scales, (num_queries, num_keys), strict=True)
        ]
        norm = (torch.cat(spread), attention.q_norm.variance_epsilon)
    heads = Heads(num_queries=num_queries, num_keys=num_keys, width=width, asked=asked)
    return _Block(layer=layer, weight=weight, bias=bias, heads=heads, norm=norm)


def _finish(block: _Block, states: torch.Tensor, mixed: torch.Tensor) -> None:
    """Add what attention and the feed-forward layer give to the states, in place."""
    layer = block.layer
    norm, mlp = layer.post_attention_layernorm, layer.mlp
    for rows in _chunks(len(states)):
        part = states[rows]
        _add_product(part, mixed[rows], layer.self_attn.o_proj)
        normed = _normalised(part, norm.weight, norm.variance_epsilon)
        gate = functional.linear(normed, mlp.gate_proj.weight, mlp.gate_proj.bias)
        functional.silu(gate, inplace=True)
        gate.mul_(functional.linear(normed, mlp.up_proj.weight, mlp.up_proj.bias))
        _add_product(part, gate, mlp.down_proj)


def _add_product(states: torch.Tensor, values: torch.Tensor, linear: nn.Linear) -> None:
    states.addmm_(values, linear.weight.T)
    if linear.bias is not None:
        states.add_(linear.bias)


def _normalised(states: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Return states over their root mean square, times `weight` (RMSNorm, arXiv 1910.07467)."""
    lengths = torch.linalg.vector_norm(states, dim=-1, keepdim=True)
    scales = lengths.square_().div_(states.shape[-1]).add_(epsilon).rsqrt_()
    return (states * scales).mul_(weight)


def _by_head(projected: torch.Tensor, block: _Block) -> torch.Tensor:
    return projected.unflatten(-1, (-1, block.heads.width))


def _chunks(num: int) -> Iterator[slice]:
    """Divide rows into chunks of nearly one size, at least `_CHUNK_TOKENS` where there are so many."""
    parts = max(1, num // _CHUNK_TOKENS)
    for part in range(parts):
        yield slice(part * num // parts, (part + 1) * num // parts)
