"""Several sets of pairs as one.

Owns which pairs of each part a mixture takes. The rule: the choice depends on the seed, the part's name
and its number of pairs alone; a smaller share takes a subset of a larger one; pairs keep their part's
order and the name of their dataset, or get their part's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.data.pair_sets import PairSet
from harness.data.pairs import Pair
from harness.identity import derive_seed

_BATCH = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One set of a mixture."""

    name: str
    pairs: PairSet
    share: float
    """Share of the pairs that is taken, in (0, 1]; at least one is."""


def mix(parts: Sequence[Part], *, seed: int) -> Iterator[Pair]:
    """Yield the pairs of a mixture, part by part.

    Args:
        parts: The sets.
        seed: Decides which pairs a share takes.
    """
    for part in parts:
        rows = chosen_rows(len(part.pairs), share=part.share, name=part.name, seed=seed)
        for first in range(0, len(rows), _BATCH):
            for pair in part.pairs.take(rows[first : first + _BATCH].tolist()):
                yield pair if pair.dataset else replace(pair, dataset=part.name)


def chosen_rows(num_pairs: int, *, share: float, name: str, seed: int) -> np.ndarray:
    """Return the rows that a share of a part takes, ascending [rows]."""
    if share == 1:
        return np.arange(num_pairs)
    rng = np.random.default_rng(derive_seed("mixture", seed, name))
    num_taken = max(1, round(share * num_pairs))
    return np.sort(rng.permutation(num_pairs)[:num_taken])
