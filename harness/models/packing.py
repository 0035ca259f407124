"""Texts of different lengths laid end to end, so that no forward pass computes padding.

Owns `Layout`, which says where each text lies in the packed row, and the division of many texts into
packed rows. The rule: a layout describes tokens alone and knows no architecture; attention, dropout and
pooling read the current one while a network runs. Who may see whom is `attention`'s affair.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import torch

# A bucket is computed as a rectangle in attention; this much of it may be empty.
_BUCKET_WASTE = 1.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Neighbouring texts of similar length, which attention computes as one rectangle."""

    start: int
    """Place of the first token in the packed row."""
    lengths: tuple[int, ...]
    width: int
    """Positions of the rectangle: no fewer than the longest text has tokens."""
    slots: torch.Tensor | None
    """Place of each token in the rectangle, flattened [tokens]; None where it has no empty place."""

    @property
    def num_tokens(self) -> int:
        """Tokens of the texts."""
        return sum(self.lengths)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where texts lie in a packed row, and what belongs to their tokens."""

    lengths: tuple[int, ...]
    """Tokens of each text, none of them zero."""
    positions: torch.Tensor
    """Position of each token in its own text [tokens], counted from 0."""
    hidden: torch.Tensor | None = None
    """Tokens that no token may see [tokens], themselves included."""
    is_causal: bool | None = None
    """Whether a token sees none after it; as the architecture has it when None."""
    wanted: torch.Tensor | None = None
    """Tokens whose final states will be read [some], as places in the packed row; all when None."""
    dropout_keys: torch.Tensor | None = None
    """A random number of each token [tokens], int32, that its dropout is drawn from."""
    buckets: tuple[Bucket, ...]
    masks: dict[tuple[int, bool, int | None], torch.Tensor | None] = field(default_factory=dict)
    """Attention masks already made, by bucket, causality and window."""

    @property
    def ends(self) -> torch.Tensor:
        """Place of the last token of each text [texts]."""
        return torch.tensor(self.lengths, device=self.positions.device).cumsum(0) - 1

    @property
    def texts(self) -> torch.Tensor:
        """Number of the text that each token belongs to [tokens]."""
        lengths = torch.tensor(self.lengths, device=self.positions.device)
        return torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths)


def make_layout(
    lengths: Sequence[int],
    *,
    device: torch.device,
    positions: torch.Tensor | None = None,
    hidden: torch.Tensor | None = None,
    is_causal: bool | None = None,
    text_keys: Sequence[int] | None = None,
    is_canonical: bool = False,
) -> Layout:
    """Return the layout of texts that lie one after the other.

    Args:
        lengths: Tokens of each text.
        device: Where the network is.
        positions: Positions of all tokens [tokens], where they do not count from 0 in each text.
        hidden: Tokens that may not be seen [tokens].
        is_causal: Whether a token sees none after it; as the architecture has it when None.
        text_keys: A number for each text that decides its dropout, whatever it is packed with.
        is_canonical: Whether the rectangle that a text is computed in is as wide as the text's own
            length demands, so that its neighbours do not change its last bits either.
    """
    if positions is None:
        positions = torch.cat([torch.arange(length) for length in lengths])
    positions = positions.to(device)
    keys = None
    if text_keys is not None:
        texts = torch.tensor(list(text_keys), dtype=torch.int64, device=device)
        keys = _token_keys(texts, torch.tensor(list(lengths), device=device))
    return Layout(
        lengths=tuple(lengths),
        positions=positions,
        hidden=None if hidden is None else hidden.to(device),
        is_causal=is_causal,
        dropout_keys=keys,
        buckets=tuple(_buckets(lengths, device, is_canonical=is_canonical)),
    )


def _token_keys(texts: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Return a key for each token from its text's key and its place in the text [tokens], int32."""
    starts = lengths.cumsum(0) - lengths
    places = torch.arange(int(lengths.sum()), device=texts.device)
    places = places - torch.repeat_interleave(starts, lengths)
    mixed = torch.repeat_interleave(texts, lengths) + places * 0x9E3779B1
    # Two rounds of multiply and shift, in 64 bits: neighbouring tokens get unrelated keys.
    mixed = (mixed ^ (mixed >> 29)) * 0x5851F42D4C957F2D
    mixed = (mixed ^ (mixed >> 32)) * 0x2545F4914F6CDD1D
    return (mixed >> 32).to(torch.int32)


def _buckets(lengths: Sequence[int], device: torch.device, *, is_canonical: bool) -> Iterator[Bucket]:
    start, first = 0, 0
    for last in range(1, len(lengths) + 1):
        part = lengths[first:last]
        width = canonical_width(part[0]) if is_canonical else max(part)
        if last < len(lengths):
            if is_canonical:
                fits = canonical_width(lengths[last]) == width
            else:
                wider = [*part, lengths[last]]
                fits = max(wider) * len(wider) <= _BUCKET_WASTE * sum(wider)
            if fits:
                continue
        slots = _slots(part, width, device)
        yield Bucket(start=start, lengths=tuple(part), width=width, slots=slots)
        start, first = start + sum(part), last


def canonical_width(length: int) -> int:
    """Return the width that a text of some length is computed in: at most a quarter more, or 8."""
    step = max(8, 1 << max(0, (length - 1).bit_length() - 3))
    return -(-length // step) * step


def _slots(lengths: Sequence[int], width: int, device: torch.device) -> torch.Tensor | None:
    if min(lengths) == width:
        return None
    is_real = torch.arange(width)[None, :] < torch.tensor(lengths)[:, None]
    return is_real.flatten().nonzero().squeeze(1).to(device)


def token_batches(lengths: Sequence[int], *, tokens: int) -> list[list[int]]:
    """Divide texts into batches of similar length, each of at most `tokens` tokens.

    A text that is longer makes a batch of its own.

    Returns:
        Indices of the texts of each batch, the shortest texts first.
    """
    batches: list[list[int]] = []
    filled = 0
    for index in sorted(range(len(lengths)), key=lambda place: (lengths[place], place)):
        if batches and filled + lengths[index] <= tokens:
            batches[-1].append(index)
            filled += lengths[index]
        else:
            batches.append([index])
            filled = lengths[index]
    return batches


_current: ContextVar[Layout | None] = ContextVar("layout", default=None)


def current_layout() -> Layout | None:
    """Return the layout of the packed row that the network is running, None outside of packed runs."""
    return _current.get()


@contextmanager
def using_layout(layout: Layout | None) -> Iterator[None]:
    """Make `layout` the current one for a while."""
    token = _current.set(layout)
    try:
        yield
    finally:
        _current.reset(token)
