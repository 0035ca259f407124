"""Stage II: contrastive learning by InfoNCE (arXiv 2401.00368).

Owns the objective over a pair set and the training entry point. The rule: which texts a batch holds
depends on the seed and the step alone, and every hard negative asked for is there. The loss is
`infonce`'s, its gradient `gradient_cache`'s, steps, checkpoints and saving belong to `session`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from harness.data.pairs import Pair
from harness.errors import DataError
from harness.models.network import Network
from harness.study.recipe import ContrastiveConfig, PromptConfig
from harness.training.batches import BatchSampler, choose_negatives
from harness.training.gradient_cache import backward_through
from harness.training.infonce import info_nce, mask_false_negatives
from harness.training.loop import StepOutcome
from harness.training.stage import TrainingJob, run_stage


class ContrastiveObjective:
    """The loss over a pair set, step by step.

    Args:
        network: A network; its head is not used.
        pairs: The training pairs.
        config: The stage's settings.
        seed: Decides order, choice of negatives and dropout.
    """

    def __init__(
        self, network: Network, pairs: Sequence[Pair], config: ContrastiveConfig, *, seed: int
    ) -> None:
        self._network, self._pairs, self._config, self._seed = network, pairs, config, seed
        self._sampler = BatchSampler(num_pairs=len(pairs), global_batch=config.global_batch, seed=seed)
        for number, pair in enumerate(pairs, 1):
            if len(pair.negatives) < config.num_negatives:
                raise DataError(
                    f"pair {number} of the set has {len(pair.negatives)} hard negatives; "
                    f"num_negatives is {config.num_negatives}",
                    cure="Lower num_negatives, or use a pair set with enough hard negatives.",
                )

    def backward(self, step: int) -> StepOutcome:
        """Add the gradient of one step's loss to the weights."""
        rows = self._sampler.rows(step)
        pairs = [self._pairs[row] for row in rows]
        queries, positives = [pair.query for pair in pairs], [pair.positive for pair in pairs]
        chosen = choose_negatives(
            pairs, num_negatives=self._config.num_negatives, seed=self._seed, step=step
        )
        negatives = [text for texts in chosen for text in texts]
        is_masked = mask_false_negatives(queries, positives, negatives).to(self._network.device)
        # Of the candidates that would count as negatives; it differs between mixtures.
        masked_share = is_masked.sum().item() / max(is_masked.numel() - len(queries), 1)
        ids = self._tokenise(queries, [*positives, *negatives])
        accuracy = 0.0

        def loss_of(vectors: torch.Tensor) -> torch.Tensor:
            nonlocal accuracy
            loss, share = info_nce(
                vectors[: len(queries)],
                vectors[len(queries) :],
                is_masked=is_masked,
                temperature=self._config.temperature,
            )
            accuracy = share.item()
            return loss

        loss = backward_through(
            self._network.decoder,
            ids,
            loss_of,
            pooling=self._network.config.pooling,
            seed=("dropout", self._seed, step),
        )
        return StepOutcome(
            loss=loss,
            rows=rows,
            tokens=sum(len(row) for row in ids),
            metrics={"accuracy": accuracy, "masked_share": masked_share},
        )

    def _tokenise(self, queries: Sequence[str], documents: Sequence[str]) -> list[list[int]]:
        tokenizer, prompts = self._network.tokenizer, self._network.prompts
        return [
            *tokenizer.tokenise(
                [prompts.query_prefix() + text for text in queries], self._config.query_length
            ),
            *tokenizer.tokenise(
                [prompts.document + text for text in documents], self._config.document_length
            ),
        ]


def train_contrastive(
    *,
    base: Path,
    pairs: Path,
    config: ContrastiveConfig,
    prompts: PromptConfig,
    seed: int,
    output: Path,
    scratch: Path,
    threads: int,
    device: str = "auto",
    checkpoint_every: int = 5,
    report: Callable[[str], None],
) -> None:
    """Train stage II and write a model folder with `metrics.jsonl`.

    The same arguments give the same weights, byte for byte, whether or not the run was interrupted.

    Args:
        base: Model folder to start from.
        pairs: JSON lines of training pairs, with hard negatives where the settings ask for some.
        config: The stage's settings.
        prompts: Put before the texts.
        seed: Decides order, choice of negatives, dropout and initial adapters.
        output: Folder to write.
        scratch: Folder for checkpoints; an interrupted run goes on from the newest.
        threads: Threads of torch.
        device: `auto`, `cpu`, `cuda` or a device of torch's.
        checkpoint_every: Steps between two checkpoints.
        report: Takes a line for people now and then.

    Raises:
        DataError: When base or pairs are not what they should be.
        ProbeError: When a check of the model fails.
        HarnessError: When the loss is not finite.
    """
    run_stage(
        TrainingJob(
            stage="contrastive",
            base=base,
            pairs=pairs,
            config=config,
            checkpoint_every=checkpoint_every,
            prompts=prompts,
            seed=seed,
            output=output,
            scratch=scratch,
        ),
        lambda network, examples: ContrastiveObjective(network, examples, config, seed=seed),
        with_head=False,
        threads=threads,
        device=device,
        report=report,
    )
