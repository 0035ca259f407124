"""Which pairs enter which step.

Owns the order of training. The rule: the batch of a step depends on the seed and the step alone,
never on what ran before, so that a resumed run goes on where it stopped and variants that share a
seed see the same pairs in the same order. What is done with a batch is the objectives' affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from harness.data.pairs import Pair
from harness.errors import DataError
from harness.identity import derive_seed


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSampler:
    """Batches out of one random order of the pairs an epoch; an epoch's incomplete tail is left out."""

    num_pairs: int
    global_batch: int
    seed: int

    def __post_init__(self) -> None:
        if self.global_batch > self.num_pairs:
            raise DataError(
                f"global_batch {self.global_batch} is more than the {self.num_pairs} pairs of the set",
                cure=f"Lower global_batch to at most {self.num_pairs}, or train on a larger set.",
            )

    def rows(self, step: int) -> list[int]:
        """Return the indices of the pairs of a step, counted from 0; no pair is in it twice."""
        epoch, place = divmod(step, self.num_pairs // self.global_batch)
        order = _epoch_order(self.num_pairs, self.seed, epoch)
        return [int(row) for row in order[place * self.global_batch : (place + 1) * self.global_batch]]


def choose_negatives(
    pairs: Sequence[Pair], *, num_negatives: int, seed: int, step: int
) -> list[tuple[str, ...]]:
    """Choose each pair's hard negatives at random, the same for the same seed and step.

    Raises:
        ValueError: When a pair has fewer than `num_negatives`.
    """
    rng = np.random.default_rng(derive_seed("negatives", seed, step))
    chosen = []
    for pair in pairs:
        if len(pair.negatives) < num_negatives:
            raise ValueError(f"a pair has {len(pair.negatives)} negatives, {num_negatives} are needed")
        places = rng.permutation(len(pair.negatives))[:num_negatives]
        chosen.append(tuple(pair.negatives[place] for place in places))
    return chosen


@lru_cache(maxsize=2)
def _epoch_order(num_pairs: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng(derive_seed("order", seed, epoch)).permutation(num_pairs)
