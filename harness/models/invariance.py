"""Whether a text's vector is the same to the last bit whatever it is encoded with.

Owns `find_floor`, a trial on the network and the device at hand. Rows of a matrix product do not depend
on each other, but a library adds up few rows in another order than many, and attention in a narrow
rectangle in another than in a wide one. With a floor under the number of rows and rectangles as wide as
each text's own length demands, the order is the same in any company, where the library behaves. The
rule: that is claimed only after texts of several lengths, alone and in company, came out with the same
bits. Where they do not, no floor is used, and whoever keeps vectors must keep them by company.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from harness.models.forward import Rows

_FLOORS = (256, 512)
_LENGTHS = (1, 8, 33, 150)
# Tokens of the companies that each text of the trial meets; neither fills whole tiles.
_COMPANIES = (577, 1031)


class Pass(Protocol):
    """A network at work."""

    def __call__(self, rows: Rows, *, floor: int) -> torch.Tensor:
        """Return the vectors [texts, width] of texts' token ids, `floor` rows a product at least."""
        ...


@torch.inference_mode()
def find_floor(embed: Pass, *, vocabulary: int, max_length: int, floors: Sequence[int] = _FLOORS) -> int:
    """Return the fewest rows a product needs for vectors that do not depend on their company.

    Args:
        embed: The pass as it will be used.
        vocabulary: Token ids there are.
        max_length: Tokens of the longest text.
        floors: What is tried.

    Returns:
        A floor for `embed`; 0 if no floor that was tried makes them independent.
    """
    rows = _made_up(vocabulary, sorted({min(length, max_length) for length in _LENGTHS}))
    for floor in floors:
        alone = [embed([row], floor=floor)[0] for row in rows]
        if all(
            _is_same(embed, rows, alone, floor=floor, tokens=tokens, place=place)
            for place, tokens in enumerate(_COMPANIES)
        ):
            return floor
    return 0


def _is_same(
    embed: Pass,
    rows: Rows,
    alone: Sequence[torch.Tensor],
    *,
    floor: int,
    tokens: int,
    place: int,
) -> bool:
    """Tell whether the texts have the same bits among others that fill a batch of `tokens`."""
    mine = list(range(len(rows)))
    mine = mine[place:] + mine[:place]
    batch = [rows[index] for index in mine]
    while sum(map(len, batch)) < tokens:
        # Shorter and longer ones in turn, some of them as long as one of the trial; none is too long.
        length = len(rows[len(batch) % len(rows)]) + len(batch) % 3
        length = min(length, len(rows[-1]), tokens - sum(map(len, batch)))
        batch.insert(0 if len(batch) % 2 else len(batch) // 2, [1] * length)
    batch.sort(key=len)
    found = embed(batch, floor=floor)
    places = {id(row): number for number, row in enumerate(batch)}
    return all(torch.equal(found[places[id(rows[index])]], alone[index]) for index in mine)


def _made_up(vocabulary: int, lengths: Sequence[int]) -> list[list[int]]:
    """Return one row of token ids a length, spread over the vocabulary."""
    return [[(7919 * place + 31 * length) % vocabulary for place in range(length)] for length in lengths]
