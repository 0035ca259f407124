"""Hard negatives: documents of the same dataset that rank high for a query and do not answer it.

Owns which of the ranked candidates become negatives. The rule: a candidate is never a positive that the
set knows for the query, nor the query's own text; negatives that a pair brings along come first; where
too few candidates are left, documents of the dataset are drawn at random, and counted. Ranking by BM25
is here; whoever has an embedder hands in a ranking of its own.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.data.pair_sets import PairSet
from harness.data.pairs import Pair
from harness.errors import DataError
from harness.identity import derive_seed
from harness.study.sources import Mining

_QUERIES = 1024
"""Queries that are ranked at once."""

# Thai, Lao, Burmese, Khmer, kana and Han, which put no space between words: a character is a token.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The best documents of some queries."""

    documents: np.ndarray
    """Rows of the corpus, best first [queries, depth]; -1 where there are fewer."""
    scores: np.ndarray
    """[queries, depth]"""
    positives: np.ndarray
    """Score of each query's own positive [queries]."""


Ranker = Callable[[Sequence[str], Sequence[int]], Ranking]
"""Ranks the corpus for queries, of which it is told the row of each one's positive."""
MakeRanker = Callable[[Sequence[str]], Ranker]
"""Makes the ranker of a corpus."""


def mine(
    pairs: PairSet, settings: Mining, make_ranker: MakeRanker, *, counts: Counter[str] | None = None
) -> Iterator[Pair]:
    """Yield the pairs with their hard negatives, in the set's order.

    Args:
        pairs: The pairs; each dataset's positives are the corpus of its queries.
        settings: How many, and which are passed over.
        make_ranker: Makes the ranker of a dataset's corpus.
        counts: Told what became of candidates and pairs.

    Raises:
        DataError: When a dataset has too few different positives.
    """
    counts = Counter() if counts is None else counts
    names, numbers = pairs.datasets
    # Rows and not texts: the negatives of a large set do not fit into memory.
    mined = np.full((len(pairs), settings.num_negatives), -1, dtype=np.int64)
    for number, name in enumerate(names):
        rows = np.flatnonzero(numbers == number)
        _mine_dataset(pairs, rows, name, settings, make_ranker, mined, counts)
    for first in range(0, len(pairs), _QUERIES):
        some = mined[first : first + _QUERIES]
        rows = np.unique(some[some >= 0])
        texts = {
            row: pair.positive
            for row, pair in zip(rows.tolist(), pairs.take(rows.tolist()), strict=True)
        }
        for pair, negatives in zip(pairs[first : first + _QUERIES], some.tolist(), strict=True):
            own = pair.negatives[: settings.num_negatives]
            yield replace(pair, negatives=(*own, *(texts[row] for row in negatives if row >= 0)))


def _mine_dataset(
    pairs: PairSet,
    rows: np.ndarray,
    name: str,
    settings: Mining,
    make_ranker: MakeRanker,
    mined: np.ndarray,
    counts: Counter[str],
) -> None:
    """Fill in the negatives of a dataset, as rows of the pairs whose positives they are."""
    places: dict[str, int] = {}
    positives: defaultdict[str, set[int]] = defaultdict(set)
    row_of: list[int] = []
    for row, pair in zip(rows.tolist(), _taken(pairs, rows), strict=True):
        place = places.setdefault(pair.positive, len(places))
        positives[pair.query].add(place)
        if place == len(row_of):
            row_of.append(row)
    rank = make_ranker(list(places))
    rng = np.random.default_rng(derive_seed("mining", settings.seed, name))
    for first in range(0, len(rows), _QUERIES):
        some = rows[first : first + _QUERIES].tolist()
        batch = pairs.take(some)
        ranking = rank([pair.query for pair in batch], [places[pair.positive] for pair in batch])
        for number, (row, pair) in enumerate(zip(some, batch, strict=True)):
            own = pair.negatives[: settings.num_negatives]
            known = positives[pair.query] | {places.get(text, -1) for text in (pair.query, *own)}
            missing = settings.num_negatives - len(own)
            chosen = _choose(_allowed(ranking, number, settings, counts), missing, known, counts)
            if len(chosen) < missing:
                counts["negatives drawn at random"] += missing - len(chosen)
                chosen += _drawn(missing - len(chosen), known | set(chosen), len(places), rng, name)
            mined[row, : len(chosen)] = [row_of[place] for place in chosen]


def _taken(pairs: PairSet, rows: np.ndarray) -> Iterator[Pair]:
    for first in range(0, len(rows), _QUERIES):
        yield from pairs.take(rows[first : first + _QUERIES].tolist())


def _allowed(ranking: Ranking, place: int, settings: Mining, counts: Counter[str]) -> list[int]:
    """Return the candidates of a query that are not too good to be negatives, best first."""
    documents, scores = ranking.documents[place], ranking.scores[place]
    kept = documents >= 0
    kept[: settings.skip] = False
    if settings.max_score is not None:
        too_good = kept & (scores > settings.max_score * ranking.positives[place])
        counts["candidates too close to the positive"] += int(too_good.sum())
        kept &= ~too_good
    return [int(document) for document in documents[kept]]


def _choose(candidates: Sequence[int], missing: int, known: set[int], counts: Counter[str]) -> list[int]:
    """Return the best candidates that are no positives, as many as are missing or there are."""
    chosen: list[int] = []
    for candidate in candidates:
        if len(chosen) == missing:
            break
        if candidate in known:
            counts["known positives among the candidates"] += 1
        else:
            chosen.append(candidate)
    return chosen


def _drawn(
    missing: int, known: set[int], num_documents: int, rng: np.random.Generator, name: str
) -> list[int]:
    """Return documents at random that are not among those known."""
    if num_documents - sum(place >= 0 for place in known) < missing:
        raise DataError(
            f"dataset {name!r} has {num_documents} different positives, too few to find negatives among",
            cure="Lower `num_negatives`, or mine the mixture instead of its parts.",
        )
    chosen: dict[int, None] = {}
    while len(chosen) < missing:
        document = int(rng.integers(num_documents))
        if document not in known:
            chosen[document] = None
    return list(chosen)


def bm25_ranker(depth: int) -> MakeRanker:
    """Return what ranks a corpus by Lucene's BM25 (k1 1.5, b 0.75), without stop words or stemming.

    Args:
        depth: Candidates a query.
    """
    import bm25s

    def make(corpus: Sequence[str]) -> Ranker:
        index = bm25s.BM25(method="lucene")
        tokens = _tokens(corpus)
        if not any(tokens):
            return _no_candidates
        index.index(tokens, show_progress=False)
        most = min(depth, len(corpus))

        def rank(queries: Sequence[str], positives: Sequence[int]) -> Ranking:
            asked = _tokens(queries)
            documents, scores = index.retrieve(asked, k=most, show_progress=False)
            own = np.array(
                [
                    _own_score(index, words, positive, documents[place], scores[place])
                    for place, (words, positive) in enumerate(zip(asked, positives, strict=True))
                ]
            )
            # Without a word in common a document is no candidate.
            return Ranking(documents=np.where(scores > 0, documents, -1), scores=scores, positives=own)

        return rank

    return make


def _no_candidates(queries: Sequence[str], positives: Sequence[int]) -> Ranking:
    """Rank a corpus without a single word."""
    nothing = np.zeros((len(queries), 0))
    return Ranking(
        documents=nothing.astype(np.int64), scores=nothing, positives=np.zeros(len(positives))
    )


def _tokens(texts: Sequence[str]) -> list[list[str]]:
    return [_WORD.findall(text.lower()) for text in texts]


def _own_score(
    index: Any, words: list[str], positive: int, documents: np.ndarray, scores: np.ndarray
) -> float:
    among = np.flatnonzero(documents == positive)
    if len(among):
        return float(scores[among[0]])
    known = [word for word in words if word in index.vocab_dict]
    return float(index.get_scores(known)[positive]) if known else 0.0
