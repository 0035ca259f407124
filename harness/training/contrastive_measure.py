"""How well held-out queries find their positives: stages 0 and II measured by pairs that do not train.

Owns the measure. The rule: it is the stage's own loss, with its prompts, temperature and masks, over all
held-out pairs as one batch; a chunk of the similarities is in memory at once. A positive that scores no
higher than another candidate counts as not found, so that a model for which all texts are alike gets
nothing. When it is taken is `selection`'s affair.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from harness.data.pairs import Pair
from harness.models.network import Network
from harness.study.recipe import ContrastiveConfig
from harness.training.contrastive import tokenise_sides
from harness.training.false_negatives import KnownPositives, TextHashes
from harness.training.memory import MicroBatch
from harness.training.ranks import Ranks
from harness.training.vectors import embed_together

_CHUNK_SIMILARITIES = 1 << 23
"""Similarities held at once: 32 MiB in float32."""


class ContrastiveMeasure:
    """Loss, accuracy and mean reciprocal rank of held-out pairs.

    Args:
        network: What is trained.
        pairs: The held-out pairs; of each, the first `num_negatives` hard negatives are candidates too.
        config: The stage's settings.
        known: Positives of the whole set, which never count as negatives.
        micro_batch: What goes through the network at once.
        ranks: The processes that share the texts.
    """

    def __init__(
        self,
        network: Network,
        pairs: Sequence[Pair],
        config: ContrastiveConfig,
        *,
        known: KnownPositives,
        micro_batch: MicroBatch,
        ranks: Ranks,
    ) -> None:
        self._network, self._config, self._known = network, config, known
        self._micro_batch, self._ranks = micro_batch, ranks
        positives = [pair.positive for pair in pairs]
        negatives = [text for pair in pairs for text in pair.negatives[: config.num_negatives]]
        self._hashes = TextHashes.of([pair.query for pair in pairs], positives, negatives)
        self._ids = tokenise_sides(network, config, pairs, [*positives, *negatives])
        self._num_queries = len(pairs)

    def __call__(self) -> dict[str, float]:
        """Return the measures; every rank the same."""
        vectors = embed_together(
            self._network.decoder,
            self._ids,
            self._network.config.pooling,
            tokens=self._micro_batch.tokens,
            ranks=self._ranks,
        )
        return measure_vectors(
            vectors[: self._num_queries],
            vectors[self._num_queries :],
            hashes=self._hashes,
            known=self._known,
            temperature=self._config.temperature,
            symmetric=self._config.symmetric,
        )


def measure_vectors(
    queries: torch.Tensor,
    documents: torch.Tensor,
    *,
    hashes: TextHashes,
    temperature: float,
    symmetric: bool,
    known: KnownPositives | None = None,
    chunk: int | None = None,
) -> dict[str, float]:
    """Return `infonce.info_nce`'s loss and accuracy over all vectors, and the mean reciprocal rank.

    Args:
        queries: Vectors [queries, width], of any length.
        documents: Vectors [documents, width]: the positives in the queries' order, then all negatives.
        hashes: The texts, of which some are no negatives.
        temperature: Divisor of the cosines.
        symmetric: Take the mean with the loss of positives that choose among the queries.
        known: More positives of the queries.
        chunk: Queries whose similarities are held at once; as many as fit into 32 MiB when None.
    """
    wide = torch.promote_types(queries.dtype, torch.float32)
    left = functional.normalize(queries.to(wide), dim=-1)
    right = functional.normalize(documents.to(wide), dim=-1)
    size, device = len(left), left.device
    chunk = chunk or max(_CHUNK_SIMILARITIES // len(right), 1)
    own: list[torch.Tensor] = []
    totals: list[torch.Tensor] = []
    ranks: list[torch.Tensor] = []
    of_positives = torch.full((size,), float("-inf"), dtype=wide, device=device)
    for start in range(0, size, chunk):
        rows = range(start, min(start + chunk, size))
        scores = (left[rows.start : rows.stop] @ right.T) / temperature
        scores.masked_fill_(hashes.mask(known, rows=rows).to(device), float("-inf"))
        places = torch.arange(rows.start, rows.stop, device=device)
        found = scores.gather(1, places[:, None])
        own.append(found[:, 0])
        totals.append(torch.logsumexp(scores, dim=1))
        # The positive itself is one of those that score as high.
        ranks.append((scores >= found).sum(dim=1))
        of_positives = torch.logaddexp(of_positives, torch.logsumexp(scores[:, :size], dim=0))
    positive, rank = torch.cat(own), torch.cat(ranks)
    loss = (torch.cat(totals) - positive).mean()
    if symmetric:
        loss = (loss + (of_positives - positive).mean()) / 2
    return {
        "loss": loss.item(),
        "accuracy": (rank == 1).to(wide).mean().item(),
        "mrr": (1 / rank.to(wide)).mean().item(),
    }
