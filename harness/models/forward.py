"""Token ids through a network, texts end to end without padding.

Owns the packed forward pass. The rule: a text's states are those it has alone, whatever it is packed
with (probes hold every model to it). Gradients, dropout's seeds and the order of training are left to
`harness.training`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from harness.models.packing import Layout, make_layout, token_batches, using_layout
from harness.models.pooling import Pooling, pool

Rows = Sequence[Sequence[int]]

_FILLER_TOKENS = 64


def run_packed(
    decoder: Any,
    layout: Layout,
    *,
    ids: torch.Tensor | None = None,
    embeddings: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the hidden states of packed texts [tokens, width], after the final norm.

    Where the layout says which tokens are wanted, the states of the others mean nothing.

    Args:
        decoder: The network below the vocabulary head.
        layout: Where the texts lie.
        ids: Token ids [tokens], or
        embeddings: input embeddings [tokens, width].
    """
    arguments = {"input_ids": ids} if embeddings is None else {"inputs_embeds": embeddings}
    positions = layout.positions + first_position(decoder)
    with using_layout(layout):
        output = decoder(
            **{name: value.unsqueeze(0) for name, value in arguments.items() if value is not None},
            position_ids=positions.unsqueeze(0),
            use_cache=False,
        )
    hidden: torch.Tensor = output.last_hidden_state[0]
    return hidden


def first_position(decoder: Any) -> int:
    """Return the number that the network gives a text's first position: not 0 in RoBERTa's family."""
    table = getattr(getattr(decoder, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    return 0 if padding is None else int(padding) + 1


def embed_rows(
    decoder: Any,
    rows: Rows,
    pooling: Pooling,
    *,
    text_keys: Sequence[int] | None = None,
    floor: int = 0,
) -> torch.Tensor:
    """Run some texts as one packed row and pool them.

    Args:
        decoder: The network below the vocabulary head; returns hidden states after the final norm.
        rows: Token ids, each text ending in the anchor.
        pooling: How the vector is taken.
        text_keys: Decides each text's dropout.
        floor: Tokens of every product at least, or 0 for as many as there are. Libraries add up small
            products in another order, so that a text's last bits would depend on its company; with a
            floor, it is also computed in rectangles of its own width (see `invariance`).

    Returns:
        Vectors [texts, width], not normalised, in the decoder's type.
    """
    device = next(decoder.parameters()).device
    num = len(rows)
    if floor:
        rows = [*rows, *_fillers(floor - sum(map(len, rows)))]
    layout = make_layout(
        [len(row) for row in rows], device=device, text_keys=text_keys, is_canonical=floor > 0
    )
    if pooling == "last":
        layout = replace(layout, wanted=_with_more(layout.ends, floor, layout))
    ids = torch.tensor([token for row in rows for token in row], dtype=torch.long, device=device)
    return pool(run_packed(decoder, layout, ids=ids), layout, pooling)[:num]


def _fillers(num_tokens: int) -> list[list[int]]:
    """Return texts of so many tokens that nobody asks about."""
    whole, rest = divmod(max(0, num_tokens), _FILLER_TOKENS)
    return [[0] * _FILLER_TOKENS] * whole + [[0] * rest] * (rest > 0)


def _with_more(wanted: torch.Tensor, floor: int, layout: Layout) -> torch.Tensor:
    """Return wanted places and, where they are fewer than `floor`, other ones after them."""
    if len(wanted) >= floor:
        return wanted
    is_other = torch.ones(len(layout.positions), dtype=torch.bool, device=wanted.device)
    is_other[wanted] = False
    return torch.cat([wanted, is_other.nonzero().squeeze(1)[: floor - len(wanted)]])


def embed_batches(
    decoder: Any,
    rows: Rows,
    pooling: Pooling,
    *,
    tokens: int,
    text_keys: Sequence[int] | None = None,
) -> torch.Tensor:
    """Run any number of texts, at most `tokens` tokens at once; vectors come in the texts' order."""
    batches = token_batches([len(row) for row in rows], tokens=tokens)
    vectors = [
        embed_rows(
            decoder,
            [rows[index] for index in batch],
            pooling,
            text_keys=None if text_keys is None else [text_keys[index] for index in batch],
        )
        for batch in batches
    ]
    order = torch.tensor([index for batch in batches for index in batch], dtype=torch.long)
    return torch.cat(vectors)[torch.argsort(order).to(vectors[0].device)]


def pad_rows(rows: Rows, *, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids [rows, positions], padded on the right with id 0, and lengths [rows].

    For probes, which hold the packed pass against the plain one.
    """
    lengths = [len(row) for row in rows]
    width = max(lengths)
    padded = [[*row, *([0] * (width - len(row)))] for row in rows]
    ids = torch.tensor(padded, dtype=torch.long, device=device)
    return ids, torch.tensor(lengths, dtype=torch.long, device=device)
