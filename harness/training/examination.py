"""Which probes of a loss a network goes through before it is trained.

Owns the calls of the project's own loss, tokens and gradient cache. The rule: what is checked is what
trains: the same functions, the user's model, its dropout on. Nothing is left behind: no gradient, no
random state, no changed weight.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from harness.data.pairs import Pair
from harness.models.forward import Rows, embed_batches
from harness.models.network import Network
from harness.models.probes import PROBE_TEXTS
from harness.study.recipe import ContrastiveConfig
from harness.training.gradient_cache import backward_through
from harness.training.infonce import info_nce
from harness.training.memory import MicroBatch
from harness.training.probes import probe_contrastive_loss, probe_gradient_cache, probe_prompts

# Of the probe texts, the first are queries, the next their positives, and the others hard negatives.
_NUM_QUERIES = 3
_WHOLE = 1 << 20


def contrastive_probes(
    network: Network, parameters: Mapping[str, nn.Parameter], config: ContrastiveConfig
) -> dict[str, Callable[[], None]]:
    """Return the checks that contrastive training must pass, by what they check.

    Args:
        network: As it is trained: with its adapters, in training mode.
        parameters: What is trained, by name.
        config: The stage's settings.
    """
    return {
        "labels, and loss in float32": lambda: _check_loss(network, config),
        "gradient cache equals one pass": lambda: _check_cache(network, parameters, config),
    }


def check_prompts(
    tokenise: Callable[[Sequence[Pair], Sequence[str]], Sequence[Sequence[int]]],
    network: Network,
    config: ContrastiveConfig,
) -> None:
    """Check that an objective's own way to token ids puts the declared prompts before texts.

    Args:
        tokenise: Takes pairs and documents; returns the rows of the pairs' queries, then the documents'.
        network: With the prompts that the study declares.
        config: The stage's settings.

    Raises:
        ProbeError: When prompts are swapped, lost or added.
    """

    def sides(queries: Sequence[str], documents: Sequence[str]) -> tuple[Rows, Rows]:
        rows = tokenise([Pair(query=text, positive=text) for text in queries], documents)
        return rows[: len(queries)], rows[len(queries) :]

    probe_prompts(
        sides,
        network.tokenizer,
        network.prompts,
        query_length=config.query_length,
        document_length=config.document_length,
        texts=PROBE_TEXTS[:_NUM_QUERIES],
    )


def _loss(queries: torch.Tensor, documents: torch.Tensor, config: ContrastiveConfig) -> torch.Tensor:
    is_masked = torch.zeros(len(queries), len(documents), dtype=torch.bool, device=queries.device)
    return info_nce(
        queries,
        documents,
        is_masked=is_masked,
        temperature=config.temperature,
        symmetric=config.symmetric,
    ).loss


def _check_loss(network: Network, config: ContrastiveConfig) -> None:
    with torch.no_grad():
        vectors = embed_batches(
            network.decoder,
            _rows(network),
            network.config.pooling,
            tokens=_WHOLE,
            text_keys=range(len(PROBE_TEXTS)),
        )
    probe_contrastive_loss(
        lambda queries, documents: _loss(queries, documents, config),
        vectors[:_NUM_QUERIES],
        vectors[_NUM_QUERIES:],
        temperature=config.temperature,
        symmetric=config.symmetric,
    )


def _check_cache(
    network: Network, parameters: Mapping[str, nn.Parameter], config: ContrastiveConfig
) -> None:
    rows = _rows(network)

    def run(micro_batch: MicroBatch) -> float:
        return backward_through(
            network.decoder,
            rows,
            lambda vectors: _loss(vectors[:_NUM_QUERIES], vectors[_NUM_QUERIES:], config),
            pooling=network.config.pooling,
            seed=("probe",),
            micro_batch=micro_batch,
        )

    half = max(sum(len(row) for row in rows) // 2, 1)
    with torch.random.fork_rng():
        probe_gradient_cache(
            parameters,
            direct=lambda: run(MicroBatch(tokens=_WHOLE, graph_tokens=_WHOLE)),
            cached=lambda: run(MicroBatch(tokens=half, graph_tokens=0)),
            dtype=network.decoder.dtype,
        )


def _rows(network: Network) -> list[list[int]]:
    return network.tokenizer.tokenise(PROBE_TEXTS, network.config.max_length)
