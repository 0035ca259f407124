"""Ranking of a corpus by an embedder, for the mining of hard negatives.

Owns the exact search over cosine similarities. The rule: similarities are float32, ties go to the
earlier document, and no more than a block of them is held. What is done with the ranking is
`harness.data.mining`'s affair.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.data.mining import MakeRanker, Ranker, Ranking
from harness.models.embedder import Embedder

_BLOCK = 64 * 2**20
"""Similarities that are held at once."""


def dense_ranker(embedder: Embedder, *, prompt: str, depth: int) -> MakeRanker:
    """Return what ranks a corpus by cosine similarity.

    Args:
        embedder: Makes the vectors.
        prompt: Put before queries; documents get the model's own prompt for them.
        depth: Candidates a query.
    """

    def make(corpus: Sequence[str]) -> Ranker:
        documents = embedder.encode(corpus, prompt=embedder.prompts.document)
        most = min(depth, len(corpus))

        def rank(queries: Sequence[str], positives: Sequence[int]) -> Ranking:
            vectors = embedder.encode(queries, prompt=prompt)
            own = np.einsum("qd,qd->q", vectors, documents[np.asarray(positives)])
            step = max(1, _BLOCK // len(corpus))
            found = [
                _best(vectors[first : first + step] @ documents.T, most)
                for first in range(0, len(vectors), step)
            ]
            return Ranking(
                documents=np.concatenate([rows for rows, _ in found]),
                scores=np.concatenate([scores for _, scores in found]),
                positives=own,
            )

        return rank

    return make


def _best(scores: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns of the largest scores of each row, and those, best first [rows, most]."""
    # A partition alone would leave it open which of equal scores at the border are taken.
    order = np.argsort(-scores, axis=1, kind="stable")[:, :most]
    return order, np.take_along_axis(scores, order, axis=1)
