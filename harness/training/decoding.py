"""The reconstruction loss (arXiv 2509.03020, algorithm 1): from an embedding back to a text.

Owns the loss as a function of network and token ids. The embedding of one text stands, as one soft
token, before the tokens of its counterpart, which the same language model must predict. The rule: just
the tokens given as targets are predicted, and a direction with weight zero is not computed. Which tokens
those are is `targets`' affair.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from harness.models.forward import Rows, embed_rows, run_packed
from harness.models.network import Network
from harness.models.packing import make_layout
from harness.models.pooling import Pooling
from harness.training.vocabulary import summed_cross_entropy

Projection = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A text to be predicted."""

    ids: Sequence[int]
    """The tokens that are predicted, in order."""
    num_hidden: int = 0
    """So many of the first tokens are hidden from the tokens after them."""
    num_padding: int = 0
    """Padding positions between the embedding and the first token; 0 puts them side by side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconstructionBatch:
    """Token ids of some pairs."""

    queries: Rows
    """What is embedded: prompt, query, anchor."""
    documents: Rows
    """What is embedded: prompt, document, anchor."""
    query_targets: Sequence[Target]
    document_targets: Sequence[Target]
    keys: Sequence[int]
    """A number for each pair that decides its dropout."""

    def select(self, places: Sequence[int]) -> ReconstructionBatch:
        """Return the batch of some of the pairs."""
        return ReconstructionBatch(
            queries=[self.queries[place] for place in places],
            documents=[self.documents[place] for place in places],
            query_targets=[self.query_targets[place] for place in places],
            document_targets=[self.document_targets[place] for place in places],
            keys=[self.keys[place] for place in places],
        )

    @property
    def num_document_tokens(self) -> int:
        """Targets of the direction query -> document."""
        return sum(len(target.ids) for target in self.document_targets)

    @property
    def num_query_tokens(self) -> int:
        """Targets of the direction document -> query."""
        return sum(len(target.ids) for target in self.query_targets)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconstructionLoss:
    """The loss of a batch and its two parts, before weighting; None for a part that was left out."""

    total: torch.Tensor
    query_to_document: torch.Tensor | None
    document_to_query: torch.Tensor | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconstructor:
    """A language model as encoder and decoder of embeddings."""

    decoder: Any
    """The network below the head."""
    head: torch.Tensor
    """Vocabulary matrix [vocabulary, width]."""
    pooling: Pooling = "last"
    padding_id: int = 0
    """Token that stands for padding where the embedding does not lie next to the text."""
    projection: Projection | None = None
    """What an embedding goes through before it is decoded; None leaves it as it is."""

    @classmethod
    def of(cls, network: Network, projection: Projection | None) -> Reconstructor:
        """Return the language model of a network that was loaded with its head."""
        return cls(
            decoder=network.decoder,
            head=network.head_weight(),
            pooling=network.config.pooling,
            padding_id=network.tokenizer.padding_id,
            projection=projection,
        )

    def embed(self, rows: Rows, keys: Sequence[int] | None = None) -> torch.Tensor:
        """Return the embeddings of texts [texts, width], not normalised."""
        return embed_rows(self.decoder, rows, self.pooling, text_keys=keys)

    def decode(
        self,
        embeddings: torch.Tensor,
        targets: Sequence[Target],
        keys: Sequence[int] | None = None,
    ) -> torch.Tensor:
        """Return the summed cross-entropy of each target text given its embedding.

        Without padding the input of a row is [embedding, t_1 .. t_(n-1)] at positions 0 .. n-1, causal
        and teacher forced; the state at position i predicts t_(i+1). With p positions of padding it is
        [embedding, padding, t_1 .. t_(n-1)] at positions 0, p, p+1 ..; the last padding token, which
        nobody sees, predicts t_1, and the embedding's own state predicts nothing.

        Args:
            embeddings: One soft token a text [texts, width].
            targets: The texts; one without tokens adds nothing.
            keys: Decides each text's dropout.

        Returns:
            A scalar, in nats, summed over all target tokens.
        """
        present = [place for place, target in enumerate(targets) if target.ids]
        if not present:
            return embeddings.sum() * 0
        ids: list[int] = []
        labels: list[int] = []
        lengths, positions, hidden, predicts, starts = [], [], [], [], []
        for target in (targets[place] for place in present):
            padding, context = target.num_padding, list(target.ids[:-1])
            filler = [self.padding_id] if padding else []
            starts.append(len(ids))
            ids += [0, *filler, *context]
            labels += target.ids
            positions += [
                0,
                *([padding] if padding else []),
                *range(padding + 1, padding + 1 + len(context)),
            ]
            hidden += [False] + [True] * len(filler)
            hidden += [place < target.num_hidden for place in range(len(context))]
            predicts += [not filler] + [True] * (len(filler) + len(context))
            lengths.append(1 + len(filler) + len(context))
        device = embeddings.device
        layout = make_layout(
            lengths,
            device=device,
            positions=torch.tensor(positions),
            hidden=torch.tensor(hidden) if any(hidden) else None,
            # Also where the base encodes in both directions: a target must not see itself.
            is_causal=True,
            text_keys=None if keys is None else [keys[place] for place in present],
        )
        inputs = self.decoder.get_input_embeddings()(torch.tensor(ids, device=device))
        soft = embeddings if self.projection is None else self.projection(embeddings)
        soft = soft[torch.tensor(present, device=device)].to(inputs.dtype)
        inputs = inputs.index_copy(0, torch.tensor(starts, device=device), soft)
        states = run_packed(self.decoder, layout, embeddings=inputs)
        if not all(predicts):
            states = states[torch.tensor(predicts, device=device)]
        return summed_cross_entropy(states, self.head, torch.tensor(labels, device=device))


def reconstruction_loss(
    model: Reconstructor,
    batch: ReconstructionBatch,
    *,
    alpha: float,
    num_document_tokens: int | None = None,
    num_query_tokens: int | None = None,
) -> ReconstructionLoss:
    """Return alpha * CE(document | e_query) + (1 - alpha) * CE(query | e_document).

    Each CE is the mean over target tokens. The numbers of tokens default to those of the batch; a part
    of a larger batch gives the whole batch's, so that the parts' losses add up to the whole's.

    Args:
        model: Encodes and decodes.
        batch: Token ids of the pairs.
        alpha: Weight of query -> document; a direction of weight zero is skipped.
        num_document_tokens: Divisor of the first part.
        num_query_tokens: Divisor of the second part.
    """
    parts: list[torch.Tensor | None] = []
    # Four texts of a pair go through the network, each with a dropout of its own.
    keys = [[4 * key + turn for key in batch.keys] for turn in range(4)]
    for number, (weight, sources, targets, count) in enumerate(
        (
            (
                alpha,
                batch.queries,
                batch.document_targets,
                num_document_tokens or batch.num_document_tokens,
            ),
            (
                1 - alpha,
                batch.documents,
                batch.query_targets,
                num_query_tokens or batch.num_query_tokens,
            ),
        )
    ):
        if weight == 0:
            parts.append(None)
            continue
        embeddings = model.embed(sources, keys[2 * number])
        parts.append(model.decode(embeddings, targets, keys[2 * number + 1]) / count)
    first, second = parts
    weighted = [
        part * weight for part, weight in ((first, alpha), (second, 1 - alpha)) if part is not None
    ]
    total = torch.stack(weighted).sum()
    return ReconstructionLoss(total=total, query_to_document=first, document_to_query=second)
