"""Stage I: bidirectional reconstruction (arXiv 2509.03020, algorithm 1).

Owns the objective over a pair set. The rule: the loss of a step is that of its whole batch, in however
many parts and on however many ranks it is computed. The loss is `decoding`'s, the tokens are `targets`';
steps, checkpoints and saving belong to `loop` and `stage`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch

from harness.data.pairs import Pair
from harness.identity import derive_seed
from harness.models.network import Network
from harness.study.recipe import ReconstructionConfig
from harness.training.batches import BatchSampler, Sampling
from harness.training.decoding import ReconstructionBatch, Reconstructor, reconstruction_loss
from harness.training.loop import StepOutcome
from harness.training.memory import MicroBatch
from harness.training.projection import make_projection
from harness.training.ranks import ONE_RANK, Ranks
from harness.training.shares import share_texts
from harness.training.targets import tokenise_pairs

_GAP_EVERY = 10
_GAP_PAIRS = 8
_DIRECTIONS = ("query_to_document", "document_to_query")


class ReconstructionObjective:
    """The loss over a pair set, step by step.

    Args:
        network: A network with its head.
        pairs: The training pairs; hard negatives are not used.
        config: The stage's settings.
        seed: Decides order and dropout.
        micro_batch: What goes through the network at once.
        sampling: How datasets are mixed.
        ranks: The processes that share each batch.

    Raises:
        DataError: When the set is too small for a batch.
    """

    def __init__(
        self,
        network: Network,
        pairs: Sequence[Pair],
        config: ReconstructionConfig,
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
        self.projection = make_projection(config.projection, network.decoder)
        """What is trained beside the network; None where nothing is."""

    def backward(self, step: int) -> StepOutcome:
        """Add the gradient of one step's loss to the weights."""
        rows = self._sampler.rows(step)
        pairs = [self._pairs[row] for row in rows]
        first_key = derive_seed("dropout", self._seed, step) >> 4  # Room for numbers of texts.
        batch = tokenise_pairs(self._network, pairs, self._config, first_key=first_key)
        sizes = _sizes(batch)
        shares = share_texts(sizes, tokens=self._micro_batch.tokens, num_ranks=self._ranks.size)
        mine = shares[self._ranks.rank]
        sums = [0.0, 0.0, 0.0]
        for number, places in enumerate(mine):
            with self._ranks.accumulate(is_last=number == len(mine) - 1):
                part = self._ranks.forward(partial(self._part, batch, places))
                (part[0] * self._ranks.gradient_scale).backward()
            sums = [total + value.item() for total, value in zip(sums, part, strict=True)]
        loss, *directions = self._ranks.total(sums)
        weights = (self._config.alpha, 1 - self._config.alpha)
        metrics = {
            name: value
            for name, value, weight in zip(_DIRECTIONS, directions, weights, strict=True)
            if weight > 0
        }
        if step % _GAP_EVERY == 0 or step == self._config.steps - 1:
            # To DDP a forward pass with gradients promises a backward pass.
            with torch.no_grad():
                metrics |= self._ranks.forward(lambda: self._gaps(batch))
        return StepOutcome(loss=loss, rows=rows, tokens=sum(sizes), metrics=metrics)

    def _model(self) -> Reconstructor:
        # Made anew each time: a sharded head is whole only while its model runs.
        return Reconstructor.of(self._network, self.projection)

    def _part(
        self, batch: ReconstructionBatch, places: Sequence[int]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return what some pairs add to the loss, and to both directions' own."""
        part = reconstruction_loss(
            self._model(),
            batch.select(places),
            alpha=self._config.alpha,
            num_document_tokens=batch.num_document_tokens,
            num_query_tokens=batch.num_query_tokens,
        )
        nothing = torch.zeros((), device=part.total.device)
        first, second = (
            nothing if value is None else value.detach()
            for value in (part.query_to_document, part.document_to_query)
        )
        return part.total, first, second

    def _gaps(self, batch: ReconstructionBatch) -> dict[str, float]:
        """Return, per direction, the loss with another row's embedding minus that with the right one.

        A falling loss alone may be the head getting used to the text; only a growing gap shows that
        the embedding is read.
        """
        few = batch.select(range(min(_GAP_PAIRS, len(batch.queries))))
        if len(few.queries) < 2:
            return {}
        decoder, model = self._network.decoder, self._model()
        was_training = decoder.training
        decoder.eval()
        gaps = {}
        alpha = self._config.alpha
        for name, weight, sources, targets in (
            ("query_to_document_gap", alpha, few.queries, few.document_targets),
            ("document_to_query_gap", 1 - alpha, few.documents, few.query_targets),
        ):
            if weight == 0:
                continue
            right = model.embed(sources)
            losses = [model.decode(item, targets) for item in (right, right.roll(1, 0))]
            count = sum(len(target.ids) for target in targets)
            gaps[name] = (losses[1] - losses[0]).item() / max(count, 1)
        decoder.train(was_training)
        return gaps


def _sizes(batch: ReconstructionBatch) -> list[int]:
    """Return the tokens of each pair that go through the network."""
    return [
        len(query) + len(document) + len(query_target.ids) + len(document_target.ids)
        for query, document, query_target, document_target in zip(
            batch.queries, batch.documents, batch.query_targets, batch.document_targets, strict=True
        )
    ]
