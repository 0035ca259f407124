"""Which candidates of a batch are no negatives, by the texts themselves.

Owns the hashing of texts and the mask. The rule: a candidate with the text of the query, of its positive
or of any positive that the training set knows for that query never counts as a negative; the query's own
positive is never masked. Texts are compared by 64-bit hashes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from harness.data.pairs import Pair


def text_hash(text: str) -> int:
    """Return 64 bits of the text's BLAKE2 hash, signed as torch's integers are."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest(), signed=True)


class KnownPositives:
    """The positives that a pair set names for each query, where they are several.

    Args:
        pairs: All training pairs.
    """

    def __init__(self, pairs: Sequence[Pair]) -> None:
        texts = (text for pair in pairs for text in (pair.query, pair.positive))
        # Arrays and not dictionaries, since a set may have millions of pairs.
        hashes = np.fromiter(map(text_hash, texts), dtype=np.int64).reshape(-1, 2)
        hashes = np.unique(hashes, axis=0)
        queries, first, counts = np.unique(hashes[:, 0], return_index=True, return_counts=True)
        self._several: dict[int, set[int]] = {
            int(queries[number]): set(hashes[first[number] : first[number] + counts[number], 1].tolist())
            for number in np.flatnonzero(counts > 1)
        }

    def of(self, query: int) -> set[int]:
        """Return the hashes of a query's positives; empty where it has one at most."""
        return self._several.get(query, set())


@dataclass(frozen=True, slots=True, kw_only=True)
class TextHashes:
    """The texts of a batch, as hashes."""

    queries: torch.Tensor
    """[queries]."""
    candidates: torch.Tensor
    """[documents]: the queries' positives in their order, then all hard negatives."""

    @classmethod
    def of(
        cls, queries: Sequence[str], positives: Sequence[str], negatives: Sequence[str]
    ) -> TextHashes:
        """Return the hashes of a batch's texts; positives come in the queries' order."""
        first, second = (
            torch.tensor([text_hash(text) for text in texts], dtype=torch.long)
            for texts in (queries, [*positives, *negatives])
        )
        return cls(queries=first, candidates=second)

    def mask(self, known: KnownPositives | None = None, *, rows: range | None = None) -> torch.Tensor:
        """Return which candidates must not count as negatives [rows, documents].

        Args:
            known: The pair set's positives; masked besides those of the batch.
            rows: Indices of the queries that are asked about; all when None.
        """
        size = len(self.queries)
        rows = range(size) if rows is None else rows
        query = self.queries[rows.start : rows.stop, None]
        positive = self.candidates[rows.start : rows.stop, None]
        is_masked = (self.candidates[None, :] == positive) | (self.candidates[None, :] == query)
        is_masked[:, :size] |= self.queries[None, :] == query
        if known is not None:
            for place, number in enumerate(query[:, 0].tolist()):
                others = known.of(number)
                if others:
                    is_masked[place] |= torch.isin(self.candidates, torch.tensor(sorted(others)))
        is_masked[range(len(rows)), rows] = False
        return is_masked


def mask_false_negatives(
    queries: Sequence[str],
    positives: Sequence[str],
    negatives: Sequence[str],
    *,
    known: KnownPositives | None = None,
) -> torch.Tensor:
    """Return which candidates must not count as negatives [queries, positives + negatives].

    Args:
        queries: The texts of a batch's queries.
        positives: Their positives, in the queries' order.
        negatives: All hard negatives.
        known: The pair set's positives; masked besides those of the batch.
    """
    return TextHashes.of(queries, positives, negatives).mask(known)
