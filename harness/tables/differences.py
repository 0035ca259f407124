"""Differences between two rows of one column.

Owns the pairing by seed. The rule: where two rows share seeds, the difference is taken seed by seed over
the shared ones (variants of a study share data order and negatives by construction, so that much of the
noise cancels); else it is the difference of the two means.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from harness.tables.aggregate import mean_and_spread
from harness.tables.table import Delta, SeedValue


def paired_differences(values: Sequence[SeedValue], base: Sequence[SeedValue]) -> dict[int, float]:
    """Return value minus base for each seed that both have, by seed."""
    ours = {one.seed: one.value for one in values}
    theirs = {one.seed: one.value for one in base}
    shared = sorted(seed for seed in ours if seed is not None and seed in theirs)
    return {seed: ours[seed] - theirs[seed] for seed in shared}


def difference(values: Sequence[SeedValue], base: Sequence[SeedValue]) -> Delta | None:
    """Return the difference of `values` from `base`; None where either is empty."""
    if not values or not base:
        return None
    paired = paired_differences(values, base)
    if not paired:
        return Delta(
            value=statistics.fmean(one.value for one in values)
            - statistics.fmean(one.value for one in base)
        )
    mean, spread = mean_and_spread([SeedValue(seed=seed, value=value) for seed, value in paired.items()])
    return Delta(value=mean, spread=spread, seeds=tuple(paired))
