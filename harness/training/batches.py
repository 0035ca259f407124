"""Which pairs enter which step.

Owns the order of training. The rule: the batch of a step depends on the pair set, the seed and the step
alone, never on what ran before, so that a resumed run goes on where it stopped and variants that share a
seed see the same pairs in the same order. What is done with a batch is the objectives' affair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from harness.data.pairs import Pair
from harness.errors import DataError, did_you_mean
from harness.identity import derive_seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How batches are drawn from the datasets of a pair set."""

    batching: str = "mixed"
    """`mixed`, or `same_dataset` for batches out of one dataset each."""
    ratios: Mapping[str, float] = field(default_factory=dict)
    """Dataset -> share of its pairs that an epoch takes; whole where not named."""


class BatchSampler:
    """Batches of one random order of the pairs an epoch; what does not fill a batch is left out.

    Args:
        datasets: The dataset of each pair.
        global_batch: Pairs a batch.
        seed: Decides the order.
        sampling: How the datasets are mixed.

    Raises:
        DataError: When no batch can be filled, or a ratio names no dataset.
    """

    def __init__(
        self,
        datasets: Sequence[str],
        *,
        global_batch: int,
        seed: int,
        sampling: Sampling | None = None,
    ) -> None:
        self._sampling = sampling or Sampling()
        names = sorted(set(datasets))
        for name in self._sampling.ratios:
            if name not in names:
                raise DataError(
                    f"no pair comes from dataset {name!r}.{did_you_mean(name, names)}",
                    cure=f"`data.ratios` can name: {', '.join(repr(item) for item in names)}.",
                )
        numbers = {name: number for number, name in enumerate(names)}
        of_pair = np.array([numbers[name] for name in datasets])
        self._rows = {name: np.flatnonzero(of_pair == numbers[name]) for name in names}
        self._global_batch, self._seed = global_batch, seed
        self._epoch = lru_cache(maxsize=2)(self._make_epoch)
        self.num_batches = len(self._epoch(0))
        """Batches an epoch."""
        if self.num_batches == 0:
            most = max(self._taken(name) for name in names)
            if self._sampling.batching != "same_dataset":
                most = sum(self._taken(name) for name in names)
            raise DataError(
                f"global_batch {global_batch} is more than the {most} pairs that a batch can draw on",
                cure=f"Lower global_batch to at most {most}, or train on a larger set.",
            )

    def rows(self, step: int) -> list[int]:
        """Return the indices of the pairs of a step, counted from 0; no pair is in it twice."""
        epoch, place = divmod(step, self.num_batches)
        return [int(row) for row in self._epoch(epoch)[place]]

    def _taken(self, name: str) -> int:
        """Return how many pairs of a dataset an epoch takes: at least one."""
        return max(1, round(len(self._rows[name]) * self._sampling.ratios.get(name, 1.0)))

    def _make_epoch(self, epoch: int) -> np.ndarray:
        """Return an epoch's batches [batches, global_batch]."""
        parts = []
        for name, rows in self._rows.items():
            rng = np.random.default_rng(derive_seed("order", self._seed, epoch, name))
            parts.append(rng.permutation(rows)[: self._taken(name)])
        rng = np.random.default_rng(derive_seed("order", self._seed, epoch))
        if self._sampling.batching == "same_dataset":
            cut = [self._cut(part) for part in parts]
            return rng.permutation(np.concatenate(cut))
        return self._cut(rng.permutation(np.concatenate(parts)))

    def _cut(self, rows: np.ndarray) -> np.ndarray:
        whole = len(rows) // self._global_batch * self._global_batch
        return rows[:whole].reshape(-1, self._global_batch)


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
