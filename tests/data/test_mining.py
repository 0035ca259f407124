"""Hard negatives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from harness.data.mining import MakeRanker, Ranker, Ranking, bm25_ranker, mine
from harness.data.pair_sets import PairSet, write_pairs
from harness.data.pairs import Pair
from harness.errors import DataError
from harness.study.sources import Mining


def _pairs(path: Path, pairs: list[Pair]) -> PairSet:
    write_pairs(path / "a.arrow", pairs)
    return PairSet(path / "a.arrow")


def _fixed(scores: np.ndarray) -> MakeRanker:
    """Rank by a given matrix [queries, documents], whatever the texts are."""

    def make(corpus: Sequence[str]) -> Ranker:
        def rank(queries: Sequence[str], positives: Sequence[int]) -> Ranking:
            part = scores[: len(queries), : len(corpus)]
            order = np.argsort(-part, axis=1, kind="stable")
            own = part[np.arange(len(queries)), list(positives)]
            return Ranking(documents=order, scores=np.take_along_axis(part, order, 1), positives=own)

        return rank

    return make


_THREE = [
    Pair(query="q0", positive="d0"),
    Pair(query="q1", positive="d1"),
    Pair(query="q2", positive="d2"),
]


def test_negatives_share_words_with_the_query_and_are_none_of_its_positives(tmp_path: Path) -> None:
    pairs = _pairs(
        tmp_path,
        [
            Pair(query="how do cats purr", positive="cats purr with the larynx"),
            Pair(query="how do cats purr", positive="the purr of cats comes from muscles"),
            Pair(query="why do cats sleep", positive="cats sleep to save energy"),
            Pair(query="what is a bond", positive="a bond is a loan"),
        ],
    )
    mined = list(mine(pairs, Mining(method="bm25"), bm25_ranker(100)))
    assert [(pair.query, pair.positive) for pair in mined] == [(p.query, p.positive) for p in pairs]
    assert mined[0].negatives == mined[1].negatives == ("cats sleep to save energy",)
    assert "purr" in mined[2].negatives[0]


def test_a_candidate_above_the_share_of_the_positives_score_is_passed_over(tmp_path: Path) -> None:
    scores = np.array([[1.0, 0.96, 0.5], [0.4, 1.0, 0.2], [0.3, 0.2, 1.0]])
    pairs = _pairs(tmp_path, _THREE)
    counts: Counter[str] = Counter()
    free = list(mine(pairs, Mining(method="bm25"), _fixed(scores)))
    bound = list(mine(pairs, Mining(method="bm25", max_score=0.95), _fixed(scores), counts=counts))
    assert [pair.negatives for pair in free] == [("d1",), ("d0",), ("d0",)]
    assert [pair.negatives for pair in bound] == [("d2",), ("d0",), ("d0",)]
    # The three positives are above their own share too.
    assert counts["candidates too close to the positive"] == 4


def test_the_best_candidates_can_be_skipped(tmp_path: Path) -> None:
    scores = np.array([[0.1, 0.9, 0.5], [0.9, 0.1, 0.5], [0.9, 0.5, 0.1]])
    mined = list(mine(_pairs(tmp_path, _THREE), Mining(method="bm25", skip=1), _fixed(scores)))
    assert [pair.negatives for pair in mined] == [("d2",), ("d2",), ("d1",)]


def test_own_negatives_come_first_and_are_not_mined_again(tmp_path: Path) -> None:
    scores = np.array([[0.1, 0.9, 0.5], [0.9, 0.1, 0.5], [0.9, 0.5, 0.1]])
    own = [Pair(query="q0", positive="d0", negatives=("d1",)), *_THREE[1:]]
    mined = list(mine(_pairs(tmp_path, own), Mining(method="bm25", num_negatives=2), _fixed(scores)))
    assert mined[0].negatives == ("d1", "d2")
    one = list(mine(_pairs(tmp_path, own), Mining(method="bm25"), _fixed(scores)))
    assert one[0].negatives == ("d1",)


def test_too_few_candidates_are_made_up_at_random_and_counted(tmp_path: Path) -> None:
    pairs = _pairs(tmp_path, [Pair(query=f"q{i}", positive=f"d{i}") for i in range(9)])
    counts: Counter[str] = Counter()
    settings = Mining(method="bm25", num_negatives=3)
    mined = list(mine(pairs, settings, bm25_ranker(100), counts=counts))
    assert counts["negatives drawn at random"] == 27
    for pair in mined:
        assert len(set(pair.negatives)) == 3
        assert pair.positive not in pair.negatives
    assert mined == list(mine(pairs, settings, bm25_ranker(100)))


def test_negatives_come_from_the_pairs_own_dataset(tmp_path: Path) -> None:
    pairs = [
        Pair(query=f"cats {i}", positive=f"cats and dogs {i}", dataset=name)
        for name in ("a", "b")
        for i in range(3)
    ]
    renamed = [
        Pair(query=p.query, positive=f"{p.positive} {p.dataset}", dataset=p.dataset) for p in pairs
    ]
    for pair in mine(_pairs(tmp_path, renamed), Mining(method="bm25"), bm25_ranker(10)):
        assert pair.negatives[0].endswith(pair.dataset)


def test_words_of_scripts_without_spaces_count_too(tmp_path: Path) -> None:
    pairs = [
        Pair(query="東京の天気", positive="明日の東京は雨"),
        Pair(query="大阪の食べ物", positive="東京の天気は晴れ"),
        Pair(query="x", positive="犬と猫"),
    ]
    mined = list(mine(_pairs(tmp_path, pairs), Mining(method="bm25"), bm25_ranker(10)))
    assert mined[0].negatives == ("東京の天気は晴れ",)


def test_a_dataset_without_other_documents_is_refused(tmp_path: Path) -> None:
    pairs = _pairs(tmp_path, [Pair(query="q", positive="d"), Pair(query="q2", positive="d")])
    with pytest.raises(DataError, match="1 different positives"):
        list(mine(pairs, Mining(method="bm25"), bm25_ranker(10)))
