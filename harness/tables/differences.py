"""Differences between two rows of one column.

Owns the pairing by seed. The rule: where two rows share seeds, the difference is taken seed by seed over
the shared ones (variants of a study share data order and negatives by construction, so that much of the
noise cancels); else it is the difference of the two means.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import msgspec

from harness.tables.aggregate import mean_and_spread
from harness.tables.table import Delta, SeedValue


class Difference(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A difference with what it is a mean over."""

    delta: Delta
    by_seed: tuple[float, ...]
    """One a shared seed, in the order of `delta.seeds`; empty where none is shared."""


def difference(values: Sequence[SeedValue], base: Sequence[SeedValue]) -> Difference | None:
    """Return the difference of `values` from `base`; None where either is empty."""
    if not values or not base:
        return None
    theirs = {one.seed: one.value for one in base if one.seed is not None}
    paired = [(one.seed, one.value - theirs[one.seed]) for one in values if one.seed in theirs]
    if not paired:
        mean = statistics.fmean(one.value for one in values)
        return Difference(
            delta=Delta(value=mean - statistics.fmean(one.value for one in base)), by_seed=()
        )
    paired.sort()
    seeds, by_seed = zip(*paired, strict=True)
    mean, spread = mean_and_spread(by_seed)
    return Difference(delta=Delta(value=mean, spread=spread, seeds=seeds), by_seed=by_seed)
