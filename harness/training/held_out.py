"""Which pairs of a set train, and which are held out to measure the training by.

Owns the division. The rule: it depends on the texts and the validation's own seed alone, never on the
stage, its seed or the order of the file, so that a pair held out in stage I is held out in stage II too;
and no text of a held-out query or positive trains, whatever part it plays in other pairs. How pairs are
measured is the measures' affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.data.pairs import Pair
from harness.errors import DataError
from harness.identity import derive_seed
from harness.study.recipe import ValidationConfig
from harness.training.false_negatives import text_hash
from harness.training.loop import Objective, StepOutcome

_FEWEST = 2
_MOST = 2**64
"""Above any hash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """Indices of a set's pairs."""

    training: Sequence[int]
    """In the set's order."""
    held_out: tuple[int, ...] = ()
    """In an order of their own, the same for any order of the set."""

    def describe(self, num_pairs: int) -> str:
        """Return what became of the pairs, for people."""
        rest = num_pairs - len(self.training) - len(self.held_out)
        aside = f"; {rest} with texts of theirs are left out" if rest else ""
        return f"{len(self.held_out)} pairs are held out, {len(self.training)} train{aside}"


class NumberedObjective:
    """An objective over some of a set's pairs that names them by their places in the whole set.

    Args:
        objective: What it is.
        rows: The place of each of its pairs.
    """

    def __init__(self, objective: Objective, rows: Sequence[int]) -> None:
        self._objective, self._rows = objective, rows

    def backward(self, step: int) -> StepOutcome:
        """Add the gradient of one step's loss to the weights."""
        outcome = self._objective.backward(step)
        return replace(outcome, rows=[self._rows[row] for row in outcome.rows])


def divide_pairs(
    pairs: Sequence[Pair], validation: ValidationConfig | None, *, global_batch: int
) -> Division:
    """Divide a set's pairs.

    Held out are the pairs whose queries have the lowest hashes under the validation's seed. A pair that
    stands several times counts once.

    Args:
        pairs: All pairs of the set.
        validation: How many to hold out; None holds out none.
        global_batch: Pairs that must be left for training.

    Raises:
        DataError: When the set is too small.
    """
    if validation is None:
        return Division(training=range(len(pairs)))
    wanted = validation.count(len(pairs))
    keys = []
    distinct: dict[tuple[int, int, int], tuple[int, int]] = {}
    for row, pair in enumerate(pairs):
        key = (text_hash(pair.query), text_hash(pair.positive))
        keys.append(key)
        place = (derive_seed("held out", validation.seed, pair.query), *key)
        distinct[place] = min((_rest(pair), row), distinct.get(place, (_MOST, row)))
    if not _FEWEST <= wanted < len(distinct):
        raise DataError(
            f"`data.validation` holds out {wanted} pairs of a set of {len(distinct)} different ones",
            cure=f"Set `data.validation.pairs` to {_FEWEST} or more, and to less than {len(distinct)}.",
        )
    held_out = tuple(row for _, (_, row) in sorted(distinct.items())[:wanted])
    texts = {number for row in held_out for number in keys[row]}
    training = tuple(
        row
        for row, pair in enumerate(pairs)
        if texts.isdisjoint(keys[row]) and texts.isdisjoint(map(text_hash, pair.negatives))
    )
    division = Division(training=training, held_out=held_out)
    if len(training) < global_batch:
        raise DataError(
            f"`data.validation`: of {len(pairs)} pairs {division.describe(len(pairs))}, and a batch "
            f"has {global_batch}",
            cure="Lower `data.validation.pairs` (or `share`) or `global_batch`, or take a larger set; "
            "where pairs share texts, such as names of classes, holding one out leaves out all of them.",
        )
    return division


def _rest(pair: Pair) -> int:
    """Return a hash of what tells pairs of the same two texts apart."""
    return derive_seed("rest", list(pair.negatives), pair.dataset, pair.instruction or "")
