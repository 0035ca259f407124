"""The texts of a batch, divided among ranks and among sub-batches.

Owns the division. The rule: it depends on the texts' lengths alone, so that every rank knows what every
other does without asking; ranks get texts of like lengths and the same number of sub-batches, since they
must enter each collective operation together.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import HarnessError
from harness.models.packing import token_batches


def share_texts(lengths: Sequence[int], *, tokens: int, num_ranks: int = 1) -> list[list[list[int]]]:
    """Divide texts among ranks, and each rank's among sub-batches of at most `tokens` tokens.

    Args:
        lengths: Tokens of each text.
        tokens: Tokens of a sub-batch; a longer text makes one of its own.
        num_ranks: Ranks that share the batch.

    Returns:
        For each rank its sub-batches, as many for every rank, each a list of indices.

    Raises:
        HarnessError: When there are too few texts to go round.
    """
    if len(lengths) < num_ranks:
        raise HarnessError(
            f"{len(lengths)} texts cannot be shared by {num_ranks} ranks",
            cure="Raise `global_batch`, or lower `resources.train.ranks`.",
        )
    dealt: list[list[int]] = [[] for _ in range(num_ranks)]
    for turn, index in enumerate(sorted(range(len(lengths)), key=lambda place: (lengths[place], place))):
        lap, seat = divmod(turn, num_ranks)
        # Back and forth, so that no rank always gets the longer neighbour.
        dealt[seat if lap % 2 == 0 else num_ranks - 1 - seat].append(index)
    shares = []
    for texts in dealt:
        batches = token_batches([lengths[index] for index in texts], tokens=tokens)
        shares.append([[texts[place] for place in batch] for batch in batches])
    num_batches = max(len(share) for share in shares)
    for share in shares:
        while len(share) < num_batches:
            _split_largest(share)
    return shares


def _split_largest(batches: list[list[int]]) -> None:
    place = max(range(len(batches)), key=lambda number: len(batches[number]))
    batch = batches[place]
    if len(batch) < 2:
        raise HarnessError(
            "the ranks' sub-batches cannot be made as many",
            cure="Raise `resources.train.micro_batch`, or lower `resources.train.ranks`.",
        )
    middle = len(batch) // 2
    batches[place : place + 1] = [batch[:middle], batch[middle:]]
