"""Which measure a stage's held-out pairs are taken by.

Owns the choice, and how a measure leaves no trace: no gradient, no dropout, the network in training mode
again. The rule: all ranks get the first one's numbers. When it is taken is `selection`'s affair.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from harness.data.pairs import Pair
from harness.models.network import Network
from harness.study.recipe import ContrastiveConfig, ReconstructionConfig
from harness.training.contrastive_measure import ContrastiveMeasure
from harness.training.false_negatives import KnownPositives
from harness.training.held_out import Division
from harness.training.memory import MicroBatch
from harness.training.ranks import Ranks
from harness.training.reconstruction_measure import ReconstructionMeasure
from harness.training.selection import Measure, Selection

_MEASURES = 10
"""Measures of a stage that does not say how often."""


def make_selection(
    network: Network,
    pairs: Sequence[Pair],
    division: Division,
    config: ReconstructionConfig | ContrastiveConfig,
    *,
    projection: torch.nn.Module | None,
    micro_batch: MicroBatch,
    ranks: Ranks,
) -> Selection:
    """Return the selection among a stage's steps; one that measures nothing where nothing is held out.

    Args:
        network: What is trained; measured in evaluation mode and left in training mode.
        pairs: All pairs of the set.
        division: Which of them do not train.
        config: The stage's settings.
        projection: What stage I trains beside the network.
        micro_batch: What goes through the network at once.
        ranks: The processes that train together; the first one's numbers count.
    """
    if not division.held_out:
        return Selection()
    few = [pairs[row] for row in division.held_out]
    measure: Measure
    if isinstance(config, ReconstructionConfig):
        measure = ReconstructionMeasure(
            network, few, config, projection=projection, micro_batch=micro_batch, ranks=ranks
        )
    else:
        known = KnownPositives(pairs)
        measure = ContrastiveMeasure(
            network, few, config, known=known, micro_batch=micro_batch, ranks=ranks
        )

    every = config.validate_every or max(1, math.ceil(config.steps / _MEASURES))
    return Selection(lambda: _undisturbed(measure, network, ranks), every=every, steps=config.steps)


def _undisturbed(measure: Measure, network: Network, ranks: Ranks) -> dict[str, float]:
    network.whole.eval()
    try:
        with torch.no_grad():
            values = measure()
    finally:
        network.whole.train()
    is_first = ranks.rank == 0
    agreed = ranks.total([value if is_first else 0.0 for value in values.values()])
    return dict(zip(values, agreed, strict=True))
