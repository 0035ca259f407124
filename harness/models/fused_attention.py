"""Attention of a fused decoder: texts of one length at a time, without padding and without copies.

Owns who sees whom in such a rectangle, and the keys of a beginning that texts share. The rule: a text is
computed in a rectangle of exactly its own length, so its bits do not follow from its neighbours; what
a layer's tokens see is what the layer asked for in the ordinary pass (`attention.listening`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch.nn import functional

from harness.models.attention import Asked

_MOST_KEYS = 4096
"""Keys and values copied at once behind a shared beginning; more would leave the processor's caches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Neighbouring texts of one length."""

    start: int
    """Place of the first token in the packed row."""
    num: int
    """Texts."""
    length: int
    """Tokens of each."""

    @property
    def tokens(self) -> slice:
        """Places in the packed row."""
        return slice(self.start, self.start + self.num * self.length)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """How the columns of a projected row divide: queries, then keys, then values."""

    num_queries: int
    num_keys: int
    width: int
    asked: Asked
    """Whom the layer's tokens see."""


def runs_of(lengths: Sequence[int]) -> list[Run]:
    """Return the texts of a packed row by neighbours of one length."""
    runs, start = [], 0
    for length, group in groupby(lengths):
        num = len(list(group))
        runs.append(Run(start=start, num=num, length=length))
        start += num * length
    return runs


def attend(
    projected: torch.Tensor,
    heads: Heads,
    runs: Sequence[Run],
    *,
    shared: torch.Tensor | None = None,
    out: torch.Tensor,
) -> None:
    """Mix the values of every text.

    Args:
        projected: Queries, keys and values of all tokens [tokens, all heads, width], rotated.
        heads: How they divide.
        runs: Where the texts lie.
        shared: Keys and values of the tokens before each text [tokens before, 2 * key heads, width].
        out: Where the mixed values go [tokens, query heads * width].
    """
    for run in runs:
        places = out[run.tokens].view(run.num, run.length, heads.num_queries, heads.width)
        for part, query, keys in _rectangles(projected, heads, run, shared):
            places[part] = _mix(query, keys, heads)


def attend_ends(
    projected: torch.Tensor,
    heads: Heads,
    runs: Sequence[Run],
    *,
    shared: torch.Tensor | None = None,
    out: torch.Tensor,
) -> None:
    """Mix the values that the last token of every text sees; `out` has a row a text."""
    first = 0
    for run in runs:
        places = out[first : first + run.num].view(run.num, 1, heads.num_queries, heads.width)
        first += run.num
        for part, query, keys in _rectangles(projected, heads, run, shared):
            places[part] = _mix(query[:, -1:], keys, heads)


def _rectangles(
    projected: torch.Tensor, heads: Heads, run: Run, shared: torch.Tensor | None
) -> Iterator[tuple[slice, torch.Tensor, torch.Tensor]]:
    """Yield which texts, their queries, and the keys and values that they see."""
    texts = projected[run.tokens].view(run.num, run.length, -1, heads.width)
    queries, keys = texts[:, :, : heads.num_queries], texts[:, :, heads.num_queries :]
    if shared is None:
        yield slice(None), queries, keys
        return
    length = len(shared) + run.length
    step = max(1, _MOST_KEYS // length)
    whole = projected.new_empty(min(step, run.num), length, *shared.shape[1:])
    whole[:, : len(shared)] = shared
    for first in range(0, run.num, step):
        part = slice(first, min(run.num, first + step))
        own = keys[part]
        whole[: len(own), len(shared) :] = own
        yield part, queries[part], whole[: len(own)]


def _mix(query: torch.Tensor, keys: torch.Tensor, heads: Heads) -> torch.Tensor:
    """Return mixed values [texts, queries, heads, width]."""
    asked = heads.asked
    num, length = query.shape[1], keys.shape[1]
    mask = _mask(num, length, asked)
    mixed = functional.scaled_dot_product_attention(
        query.transpose(1, 2),
        keys[:, :, : heads.num_keys].transpose(1, 2),
        keys[:, :, heads.num_keys :].transpose(1, 2),
        attn_mask=mask,
        is_causal=asked.is_causal and num == length and mask is None,
        scale=asked.scale,
        enable_gqa=heads.num_queries != heads.num_keys,
    )
    return mixed.transpose(1, 2)


def _mask(num: int, length: int, asked: Asked) -> torch.Tensor | None:
    """Return which of `length` tokens the last `num` see [num, length]; None for plain causal or all."""
    window = None if asked.window is None or asked.window >= length else asked.window
    if window is None and (not asked.is_causal or num in (1, length)):
        return None
    distance = torch.arange(length - num, length)[:, None] - torch.arange(length)
    mask = distance >= 0 if asked.is_causal else torch.ones_like(distance, dtype=torch.bool)
    return mask if window is None else mask & (distance.abs() < window)
