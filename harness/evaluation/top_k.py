"""The best documents of each query, found while vectors stream by.

Owns `TopK`. The rule: the result is the first k of all documents in one total order, score downwards
and, where float32 scores are equal, the documents' own order downwards (their identifiers', as mteb,
BEIR and trec_eval break ties); it does not depend on how the corpus was cut. No matrix of all scores
exists: a block of documents is multiplied, what cannot be among the best is dropped at once, and each
query keeps a few thousand candidates. A thread of its own picks the candidates of one block while the
next is multiplied: floors that are a block old let more candidates through and change no result.
Documents' vectors may be memory-mapped. Who encodes them, and what becomes of a ranking, is left to
others.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

# Documents of one product. Always this many, the rest being zeros, so that a document's score is the
# same whatever follows it.
_BLOCK = 8192
# Queries of one product: bounds memory to about 160 MB a block at k = 1000.
_QUERIES = 1024
_NOTHING = np.iinfo(np.int64).min
_LOWEST = np.finfo(np.float32).min


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The best documents of one query, best first."""

    scores: NDArray[np.float32]
    documents: NDArray[np.int64]
    """Places in the corpus."""


def places_by_identifier(identifiers: Sequence[str]) -> NDArray[np.int64]:
    """Return the place of each identifier among all, sorted by code point: what breaks ties."""
    order = np.array(sorted(range(len(identifiers)), key=identifiers.__getitem__), dtype=np.int64)
    places = np.empty(len(identifiers), dtype=np.int64)
    places[order] = np.arange(len(identifiers))
    return places


class TopK:
    """Collects the best documents of some queries.

    Args:
        queries: Vectors [queries, d], any floating type.
        k: Documents to keep a query.
        places: Of each document, its place in the order that breaks ties; the last one wins. All
            different, below 2**32.
        is_cosine: Whether vectors are brought to length one first; else scores are inner products.
        excluded: Of each query, the place in the corpus of a document that does not count, or -1.
    """

    def __init__(
        self,
        queries: torch.Tensor | NDArray[np.floating],
        *,
        k: int,
        places: NDArray[np.int64],
        is_cosine: bool = True,
        excluded: NDArray[np.int64] | None = None,
    ) -> None:
        self._is_cosine = is_cosine
        self._queries = self._ready(queries)
        self._k = k
        self._places = places
        self._excluded = excluded
        num, width = self._queries.shape
        self._block = torch.zeros(_BLOCK, width)
        # One is filled while candidates are picked from the other.
        self._scores = [torch.empty(min(num, _QUERIES), _BLOCK) for _ in range(2)]
        self._picking: list[Future[None]] = []
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="top-k")
        self._kept = [_Kept(min(_QUERIES, num - first), k=k) for first in range(0, num, _QUERIES)]
        self._num_seen = 0

    def add(self, vectors: torch.Tensor | NDArray[np.floating]) -> None:
        """Look at the next documents of the corpus: vectors [documents, d], in the corpus's order."""
        for first in range(0, len(vectors), _BLOCK):
            self._add_block(vectors[first : first + _BLOCK])

    def best(self) -> Iterator[Best]:
        """Return the best documents of each query, in the order of the queries."""
        if self._num_seen != len(self._places):
            raise ValueError(f"{self._num_seen} documents were added, {len(self._places)} announced")
        for picking in self._picking:
            picking.result()
        self._thread.shutdown()
        order = np.empty(len(self._places), dtype=np.int64)
        order[self._places] = np.arange(len(self._places))
        for kept in self._kept:
            for keys in kept.finished():
                places = keys & 0xFFFFFFFF
                yield Best(scores=_score(keys), documents=order[places])

    def _ready(self, vectors: torch.Tensor | NDArray[np.floating]) -> torch.Tensor:
        found = torch.as_tensor(vectors).to("cpu", torch.float32)
        return _normalize(found, out=torch.empty_like(found)) if self._is_cosine else found

    def _add_block(self, vectors: torch.Tensor | NDArray[np.floating]) -> None:
        num, start = len(vectors), self._num_seen
        block = self._block
        # Copied, since what is memory-mapped may not be written to.
        given = _as_tensor(vectors)
        if self._is_cosine and given.dtype == torch.float32:
            _normalize(given, out=block[:num])
        else:
            block[:num].copy_(given)
            if self._is_cosine:
                _normalize(block[:num], out=block[:num])
        block[num:] = 0
        places = self._places[start : start + num]
        for number, kept in enumerate(self._kept):
            first = number * _QUERIES
            scores = self._free_scores()[: kept.num]
            torch.mm(self._queries[first : first + kept.num], block.T, out=scores)
            scores[:, num:] = -torch.inf
            if self._excluded is not None:
                own = self._excluded[first : first + kept.num] - start
                rows = np.flatnonzero((own >= 0) & (own < num))
                scores[rows, own[rows]] = -torch.inf
            self._picking.append(self._thread.submit(kept.add, scores.numpy(), places))
        self._num_seen += num

    def _free_scores(self) -> torch.Tensor:
        """Return room for scores that nobody reads any more, and raise what went wrong in the thread."""
        while len(self._picking) >= len(self._scores):
            self._picking.pop(0).result()
        self._scores.reverse()
        return self._scores[0]


class _Kept:
    """Candidates of some queries, as keys that order them: score above, place below."""

    def __init__(self, num: int, *, k: int) -> None:
        self.num = num
        self._k = k
        self._keys = np.full((num, 2 * k + _BLOCK), _NOTHING, dtype=np.int64)
        self._filled = np.zeros(num, dtype=np.int64)
        self._floor = np.full((num, 1), _LOWEST)
        self._is_found = np.empty((num, _BLOCK), dtype=np.bool_)

    def add(self, scores: NDArray[np.float32], places: NDArray[np.int64]) -> None:
        """Take what is not below the k best so far: scores [queries, documents], -inf to leave out."""
        if not self._filled.any() and self._k < _BLOCK:
            # All would be candidates; at least k of this block are not below its k-th best.
            worst = np.partition(scores, _BLOCK - self._k, axis=1)[:, [_BLOCK - self._k]]
            self._floor = np.maximum(worst, _LOWEST)
        np.greater_equal(scores, self._floor, out=self._is_found)
        found = np.flatnonzero(self._is_found)
        if not len(found):
            return
        counts = np.bincount(found // _BLOCK, minlength=self.num)
        # The first free place of each query, as far as its earlier candidates here leave it.
        free = np.arange(self.num) * self._keys.shape[1] + self._filled - np.cumsum(counts) + counts
        keys = _key(scores.reshape(-1)[found], places[found % _BLOCK])
        self._keys.reshape(-1)[np.repeat(free, counts) + np.arange(len(found))] = keys
        self._filled += counts
        if self._filled.max() > self._k + self._k // 4:
            self._tighten()

    def finished(self) -> Iterator[NDArray[np.int64]]:
        """Return the keys of each query's best, best first."""
        self._tighten()
        for keys in self._keys[:, : self._k]:
            yield np.sort(keys[keys != _NOTHING])[::-1]

    def _tighten(self) -> None:
        """Keep the k best and raise the floor to the worst of them."""
        width = int(self._filled.max())
        if width > self._k:
            part = self._keys[:, :width]
            part.partition(width - self._k, axis=1)
            self._keys[:, : self._k] = part[:, width - self._k :].copy()
            self._keys[:, self._k : width] = _NOTHING
        np.minimum(self._filled, self._k, out=self._filled)
        is_full = self._filled == self._k
        worst = self._keys[:, : self._k].min(axis=1)
        self._floor = np.where(is_full, _score(worst), _LOWEST)[:, None]


def _as_tensor(vectors: torch.Tensor | NDArray[np.floating]) -> torch.Tensor:
    """Return the same memory as a tensor, without torch's warning that it may not be written to."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.as_tensor(vectors)


def _normalize(vectors: torch.Tensor, *, out: torch.Tensor) -> torch.Tensor:
    """Bring rows to length one; as `torch.nn.functional.normalize`, in half its time."""
    lengths = torch.linalg.vector_norm(vectors, dim=1, keepdim=True).clamp_min_(1e-12)
    return torch.div(vectors, lengths, out=out)


def _key(scores: NDArray[np.float32], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return whole numbers in the order of (score, place)."""
    # Adding zero makes one number of the two zeros.
    bits = (scores + np.float32(0)).view(np.int32)
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    key: NDArray[np.int64] = (ordered.astype(np.int64) << 32) | places
    return key


def _score(keys: NDArray[np.int64]) -> NDArray[np.float32]:
    ordered = (keys >> 32).astype(np.int32)
    return (ordered ^ ((ordered >> 31) & 0x7FFFFFFF)).astype(np.int32).view(np.float32)
