"""Stages 0 and II: contrastive learning by InfoNCE (arXiv 2401.00368).

Owns the objective over a pair set. The rule: which texts a batch holds depends on the pair set, the seed
and the step alone, and every hard negative asked for is there. The loss is `infonce`'s, its gradient
`gradient_cache`'s; steps, checkpoints and saving belong to `loop` and `stage`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from harness.data.pairs import Pair
from harness.errors import DataError
from harness.models.network import Network
from harness.study.recipe import ContrastiveConfig
from harness.training.batches import BatchSampler, Sampling, choose_negatives
from harness.training.false_negatives import KnownPositives, mask_false_negatives
from harness.training.gradient_cache import backward_through
from harness.training.infonce import info_nce
from harness.training.loop import StepOutcome
from harness.training.memory import MicroBatch
from harness.training.ranks import ONE_RANK, Ranks


class ContrastiveObjective:
    """The loss over a pair set, step by step.

    Args:
        network: A network; its head is not used.
        pairs: The training pairs.
        config: The stage's settings.
        seed: Decides order, choice of negatives and dropout.
        micro_batch: What goes through the network at once.
        sampling: How datasets are mixed.
        ranks: The processes that share each batch.

    Raises:
        DataError: When a pair has fewer hard negatives than the settings ask for, or the set is too
            small.
    """

    def __init__(
        self,
        network: Network,
        pairs: Sequence[Pair],
        config: ContrastiveConfig,
        *,
        seed: int,
        micro_batch: MicroBatch,
        sampling: Sampling | None = None,
        ranks: Ranks = ONE_RANK,
    ) -> None:
        self._network, self._pairs, self._config, self._seed = network, pairs, config, seed
        self._micro_batch, self._ranks = micro_batch, ranks
        self._sampler = BatchSampler(
            [pair.dataset for pair in pairs],
            global_batch=config.global_batch,
            seed=seed,
            sampling=sampling,
        )
        self._known = KnownPositives(pairs)
        check_negatives(pairs, config.num_negatives)

    def backward(self, step: int) -> StepOutcome:
        """Add the gradient of one step's loss to the weights."""
        rows = self._sampler.rows(step)
        pairs = [self._pairs[row] for row in rows]
        queries, positives = [pair.query for pair in pairs], [pair.positive for pair in pairs]
        chosen = choose_negatives(
            pairs, num_negatives=self._config.num_negatives, seed=self._seed, step=step
        )
        negatives = [text for texts in chosen for text in texts]
        is_masked = mask_false_negatives(queries, positives, negatives, known=self._known)
        # Of the candidates that would count as negatives; it differs between mixtures.
        masked_share = is_masked.sum().item() / max(is_masked.numel() - len(queries), 1)
        is_masked = is_masked.to(self._network.device)
        ids = self.tokenise(pairs, [*positives, *negatives])
        metrics: dict[str, float] = {}

        def loss_of(vectors: torch.Tensor) -> torch.Tensor:
            found = info_nce(
                vectors[: len(queries)],
                vectors[len(queries) :],
                is_masked=is_masked,
                temperature=self._config.temperature,
                symmetric=self._config.symmetric,
            )
            metrics.update(accuracy=found.accuracy, gap=found.gap, masked_share=masked_share)
            return found.loss

        loss = backward_through(
            self._network.decoder,
            ids,
            loss_of,
            pooling=self._network.config.pooling,
            seed=("dropout", self._seed, step),
            micro_batch=self._micro_batch,
            ranks=self._ranks,
        )
        return StepOutcome(loss=loss, rows=rows, tokens=sum(len(row) for row in ids), metrics=metrics)

    def tokenise(self, pairs: Sequence[Pair], documents: Sequence[str]) -> list[list[int]]:
        """Return the token ids of the pairs' queries, then of the documents, prompts included."""
        return tokenise_sides(self._network, self._config, pairs, documents)


def check_negatives(pairs: Sequence[Pair], num_negatives: int) -> None:
    """Check that every pair has as many hard negatives as are asked for.

    Raises:
        DataError: Naming the first that has not.
    """
    for number, pair in enumerate(pairs, 1):
        if len(pair.negatives) < num_negatives:
            raise DataError(
                f"pair {number} of the set has {len(pair.negatives)} hard negatives; "
                f"num_negatives is {num_negatives}",
                cure="Lower num_negatives, or use a pair set with enough hard negatives.",
            )


def tokenise_sides(
    network: Network, config: ContrastiveConfig, pairs: Sequence[Pair], documents: Sequence[str]
) -> list[list[int]]:
    """Return the token ids of some pairs' queries, then of documents, prompts included.

    Args:
        network: Brings tokenizer and prompts.
        config: Lengths.
        pairs: Bring queries, and instructions of their own where they have some.
        documents: Positives and negatives.
    """
    tokenizer, prompts = network.tokenizer, network.prompts
    queries = [prompts.query_prefix(pair.instruction) + pair.query for pair in pairs]
    documents = [prompts.document + text for text in documents]
    return [
        *tokenizer.tokenise(queries, config.query_length),
        *tokenizer.tokenise(documents, config.document_length),
    ]
