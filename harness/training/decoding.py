"""The reconstruction loss (arXiv 2509.03020, algorithm 1): from an embedding back to a text.

Owns the loss as a function of network and token ids. The embedding of one text stands, as one soft
token and as it comes out of the network (no projection, no normalisation), before the tokens of its
counterpart, which the same language model must predict. The rule: only the tokens that are given as
targets are predicted, and a direction with weight zero is not computed. Which tokens those are is
`reconstruction`'s affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from harness.models.forward import embed_batches, pad_rows, token_batches
from harness.models.pooling import Pooling
from harness.training.vocabulary import summed_cross_entropy

Rows = Sequence[Sequence[int]]

SLOTS = 1024
"""Tokens of one forward pass, padding included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconstructionBatch:
    """Token ids of some pairs."""

    queries: Rows
    """What is embedded: prompt, query, anchor."""
    documents: Rows
    """What is embedded: prompt, document, anchor."""
    query_targets: Rows
    """What is predicted: the query's own tokens."""
    document_targets: Rows
    """What is predicted: the document's own tokens."""

    def select(self, places: Sequence[int]) -> ReconstructionBatch:
        """Return the batch of some of the pairs."""
        return ReconstructionBatch(
            queries=[self.queries[place] for place in places],
            documents=[self.documents[place] for place in places],
            query_targets=[self.query_targets[place] for place in places],
            document_targets=[self.document_targets[place] for place in places],
        )

    @property
    def num_document_tokens(self) -> int:
        """Targets of the direction query -> document."""
        return sum(len(row) for row in self.document_targets)

    @property
    def num_query_tokens(self) -> int:
        """Targets of the direction document -> query."""
        return sum(len(row) for row in self.query_targets)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconstructionLoss:
    """The loss of a batch and its two parts, before weighting; None for a part that was left out."""

    total: torch.Tensor
    query_to_document: torch.Tensor | None
    document_to_query: torch.Tensor | None


def decode(
    decoder: Any, head: torch.Tensor, embeddings: torch.Tensor, targets: Rows, *, slots: int = SLOTS
) -> torch.Tensor:
    """Return the summed cross-entropy of each target text given its embedding.

    The input of a row is [embedding, t_1 .. t_(n-1)] at positions 0 .. n-1, causal and teacher forced;
    the state at position i predicts t_(i+1).

    Args:
        decoder: The network below the head.
        head: Vocabulary matrix [vocabulary, width].
        embeddings: One soft token a row [rows, width].
        targets: Token ids of the texts; an empty row adds nothing.
        slots: Tokens a forward pass, padding included.

    Returns:
        A scalar, in nats, summed over all target tokens.
    """
    present = [place for place, row in enumerate(targets) if len(row) > 0]
    states, labels = [], []
    for batch in token_batches([len(targets[place]) for place in present], slots=slots):
        places = [present[index] for index in batch]
        ids, lengths = pad_rows([targets[place] for place in places], device=embeddings.device)
        context = decoder.get_input_embeddings()(ids[:, :-1])
        soft = embeddings[places].unsqueeze(1).to(context.dtype)
        inputs = torch.cat([soft, context], dim=1)
        hidden = decoder(inputs_embeds=inputs, use_cache=False).last_hidden_state
        is_target = torch.arange(ids.shape[1], device=ids.device)[None, :] < lengths[:, None]
        states.append(hidden[is_target])
        labels.append(ids[is_target])
    return summed_cross_entropy(torch.cat(states), head, torch.cat(labels))


def reconstruction_loss(
    decoder: Any,
    head: torch.Tensor,
    batch: ReconstructionBatch,
    *,
    alpha: float,
    pooling: Pooling = "last",
    num_document_tokens: int | None = None,
    num_query_tokens: int | None = None,
    slots: int = SLOTS,
) -> ReconstructionLoss:
    """Return alpha * CE(document | e_query) + (1 - alpha) * CE(query | e_document).

    Each CE is the mean over target tokens. The numbers of tokens default to those of the batch; a part
    of a larger batch gives the whole batch's, so that the parts' losses add up to the whole's.

    Args:
        decoder: The network below the head.
        head: Vocabulary matrix [vocabulary, width].
        batch: Token ids of the pairs.
        alpha: Weight of query -> document; a direction of weight zero is skipped.
        pooling: How the embedding is taken.
        num_document_tokens: Divisor of the first part.
        num_query_tokens: Divisor of the second part.
        slots: Tokens a forward pass, padding included.
    """
    parts: list[torch.Tensor | None] = []
    for weight, sources, targets, count in (
        (alpha, batch.queries, batch.document_targets, num_document_tokens or batch.num_document_tokens),
        (1 - alpha, batch.documents, batch.query_targets, num_query_tokens or batch.num_query_tokens),
    ):
        if weight == 0:
            parts.append(None)
            continue
        embeddings = embed_batches(decoder, sources, pooling, slots=slots)
        parts.append(decode(decoder, head, embeddings, targets, slots=slots) / count)
    first, second = parts
    weighted = [
        part * weight for part, weight in ((first, alpha), (second, 1 - alpha)) if part is not None
    ]
    total = torch.stack(weighted).sum()
    return ReconstructionLoss(total=total, query_to_document=first, document_to_query=second)
