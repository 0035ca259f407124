"""How well held-out texts are written from their counterparts' embeddings: stage I measured.

Owns the measure. The rule: it is the stage's own loss over all held-out pairs as one batch, and beside
it how much worse another row's embedding does, since the loss alone falls also where the embedding is
not read. A sub-batch of texts is in the network at once. When it is taken is `selection`'s affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import nn

from harness.data.pairs import Pair
from harness.models.forward import Rows
from harness.models.network import Network
from harness.study.recipe import ReconstructionConfig
from harness.training.decoding import Reconstructor, Target
from harness.training.memory import MicroBatch
from harness.training.ranks import Ranks
from harness.training.shares import share_texts
from harness.training.targets import tokenise_pairs
from harness.training.vectors import embed_together


class ReconstructionMeasure:
    """Loss of held-out pairs with the right embeddings, and its gap to that with another row's.

    Args:
        network: What is trained, with its head.
        pairs: The held-out pairs, at least two.
        config: The stage's settings.
        projection: What is trained beside the network; None where nothing is.
        micro_batch: What goes through the network at once.
        ranks: The processes that share the texts.
    """

    def __init__(
        self,
        network: Network,
        pairs: Sequence[Pair],
        config: ReconstructionConfig,
        *,
        projection: nn.Module | None,
        micro_batch: MicroBatch,
        ranks: Ranks,
    ) -> None:
        self._network, self._projection = network, projection
        self._micro_batch, self._ranks = micro_batch, ranks
        batch = tokenise_pairs(network, pairs, config)
        directions: list[tuple[str, float, Rows, Sequence[Target]]] = [
            ("query_to_document", config.alpha, batch.queries, batch.document_targets),
            ("document_to_query", 1 - config.alpha, batch.documents, batch.query_targets),
        ]
        self._directions = [direction for direction in directions if direction[1] > 0]

    def __call__(self) -> dict[str, float]:
        """Return the measures; every rank the same."""
        found: dict[str, float] = {"loss": 0.0}
        for name, weight, sources, targets in self._directions:
            right, other = self._losses(sources, targets)
            found["loss"] += weight * right
            found |= {name: right, f"{name}_gap": other - right}
        return found

    def _losses(self, sources: Rows, targets: Sequence[Target]) -> list[float]:
        """Return the loss a target token with the right embeddings, and with another row's."""
        tokens = self._micro_batch.tokens
        right = embed_together(
            self._network.decoder,
            sources,
            self._network.config.pooling,
            tokens=tokens,
            ranks=self._ranks,
        )
        other = right.roll(1, 0)
        sizes = [1 + len(target.ids) for target in targets]
        sums = [0.0, 0.0]
        for places in share_texts(sizes, tokens=tokens, num_ranks=self._ranks.size)[self._ranks.rank]:
            part = self._ranks.forward(partial(self._decode, (right, other), targets, places))
            sums = [total + value for total, value in zip(sums, part.tolist(), strict=True)]
        count = sum(len(target.ids) for target in targets)
        return [total / count for total in self._ranks.total(sums)]

    def _decode(
        self, embeddings: Sequence[torch.Tensor], targets: Sequence[Target], places: Sequence[int]
    ) -> torch.Tensor:
        # Made anew each time: a sharded head is whole only while its model runs.
        model = Reconstructor.of(self._network, self._projection)
        few = [targets[place] for place in places]
        return torch.stack([model.decode(every[list(places)], few) for every in embeddings])
