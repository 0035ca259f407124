"""Stage I: bidirectional reconstruction (arXiv 2509.03020, algorithm 1).

Owns the objective over a pair set and the training entry point. The rule: a text is embedded with its
prompt and its anchor, and only its own tokens are targets: neither the anchor nor a prompt is ever
predicted. The loss is `decoding`'s, steps, checkpoints and saving belong to `session`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from harness.data.pairs import Pair
from harness.errors import DataError
from harness.identity import derive_seed
from harness.models.forward import embed_batches, token_batches
from harness.models.network import Network
from harness.study.recipe import PromptConfig, ReconstructionConfig
from harness.training.batches import BatchSampler
from harness.training.decoding import SLOTS, ReconstructionBatch, decode, reconstruction_loss
from harness.training.loop import StepOutcome
from harness.training.stage import TrainingJob, run_stage

_GRAPH_SLOTS = 3072
_GAP_EVERY = 10
_GAP_PAIRS = 8


class ReconstructionObjective:
    """The loss over a pair set, step by step.

    Args:
        network: A network with its head.
        pairs: The training pairs.
        config: The stage's settings.
        seed: Decides order and dropout.
    """

    def __init__(
        self, network: Network, pairs: Sequence[Pair], config: ReconstructionConfig, *, seed: int
    ) -> None:
        self._network, self._pairs, self._config, self._seed = network, pairs, config, seed
        self._sampler = BatchSampler(num_pairs=len(pairs), global_batch=config.global_batch, seed=seed)
        self._head = network.head_weight()

    def backward(self, step: int) -> StepOutcome:
        """Add the gradient of one step's loss to the weights."""
        rows = self._sampler.rows(step)
        batch = self._tokenise([self._pairs[row] for row in rows])
        metrics: dict[str, float] = {}
        loss = 0.0
        for number, places in enumerate(_parts(batch)):
            torch.manual_seed(derive_seed("dropout", self._seed, step, number))
            part = reconstruction_loss(
                self._network.decoder,
                self._head,
                batch.select(places),
                alpha=self._config.alpha,
                pooling=self._network.config.pooling,
                num_document_tokens=batch.num_document_tokens,
                num_query_tokens=batch.num_query_tokens,
            )
            part.total.backward()
            loss += part.total.item()
            for name in ("query_to_document", "document_to_query"):
                value = getattr(part, name)
                if value is not None:
                    metrics[name] = metrics.get(name, 0.0) + value.item()
        if step % _GAP_EVERY == 0 or step == self._config.steps - 1:
            metrics |= self._gaps(batch)
        tokens = sum(len(row) for row in (*batch.queries, *batch.documents))
        tokens += batch.num_document_tokens + batch.num_query_tokens
        return StepOutcome(loss=loss, rows=rows, tokens=tokens, metrics=metrics)

    @torch.no_grad()
    def _gaps(self, batch: ReconstructionBatch) -> dict[str, float]:
        """Return, per direction, the loss with another row's embedding minus that with the right one.

        A falling loss alone may be the head getting used to the text; only a growing gap shows that
        the embedding is read.
        """
        few = batch.select(range(min(_GAP_PAIRS, len(batch.queries))))
        if len(few.queries) < 2:
            return {}
        decoder = self._network.decoder
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
            right = embed_batches(decoder, sources, self._network.config.pooling, slots=SLOTS)
            losses = [decode(decoder, self._head, item, targets) for item in (right, right.roll(1, 0))]
            gaps[name] = (losses[1] - losses[0]).item() / max(sum(len(row) for row in targets), 1)
        decoder.train(was_training)
        return gaps

    def _tokenise(self, pairs: Sequence[Pair]) -> ReconstructionBatch:
        tokenizer, config, prompts = self._network.tokenizer, self._config, self._network.prompts
        queries = [pair.query for pair in pairs]
        documents = [pair.positive for pair in pairs]
        return ReconstructionBatch(
            queries=tokenizer.tokenise(
                [prompts.query_prefix() + text for text in queries], config.query_length
            ),
            documents=tokenizer.tokenise(
                [prompts.document + text for text in documents], config.document_length
            ),
            query_targets=tokenizer.targets(queries, config.query_length),
            document_targets=tokenizer.targets(documents, config.document_length),
        )


def train_reconstruction(
    *,
    base: Path,
    pairs: Path,
    config: ReconstructionConfig,
    prompts: PromptConfig,
    seed: int,
    output: Path,
    scratch: Path,
    threads: int,
    device: str = "auto",
    checkpoint_every: int = 5,
    report: Callable[[str], None],
) -> None:
    """Train stage I and write a model folder with `metrics.jsonl`.

    The same arguments give the same weights, byte for byte, whether or not the run was interrupted.

    Args:
        base: Model folder to start from; it must hold the vocabulary head.
        pairs: JSON lines of training pairs; hard negatives are not used.
        config: The stage's settings.
        prompts: Put before the texts that are embedded.
        seed: Decides order, dropout and initial adapters.
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
            stage="reconstruction",
            base=base,
            pairs=pairs,
            config=config,
            checkpoint_every=checkpoint_every,
            prompts=prompts,
            seed=seed,
            output=output,
            scratch=scratch,
        ),
        lambda network, examples: ReconstructionObjective(network, examples, config, seed=seed),
        with_head=True,
        threads=threads,
        device=device,
        report=report,
    )


def _parts(batch: ReconstructionBatch) -> list[list[int]]:
    """Divide the pairs so that the activations of one graph stay bounded; gradients add up exactly."""
    if batch.num_document_tokens == 0 or batch.num_query_tokens == 0:
        raise DataError(
            "a batch has no tokens to predict", cure="Raise query_length and document_length."
        )
    sizes = [
        len(query) + len(document) + len(query_target) + len(document_target)
        for query, document, query_target, document_target in zip(
            batch.queries, batch.documents, batch.query_targets, batch.document_targets, strict=True
        )
    ]
    return token_batches(sizes, slots=_GRAPH_SLOTS)
