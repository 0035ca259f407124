from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.evaluation import top_k
from harness.evaluation.top_k import TopK, places_by_identifier


def _by_sorting(
    queries: np.ndarray, corpus: np.ndarray, places: np.ndarray, k: int, excluded: np.ndarray
) -> list[list[int]]:
    scores = queries @ corpus.T
    found = []
    for row, own in zip(scores, excluded, strict=True):
        order = sorted(range(len(corpus)), key=lambda place: (row[place], places[place]), reverse=True)
        found.append([place for place in order if place != own][:k])
    return found


def _whole_numbers(generator: np.random.Generator, rows: int) -> np.ndarray:
    # Their products are exact in float32, so that equal scores are equal whoever adds them up.
    return generator.integers(-2, 3, size=(rows, 3)).astype(np.float32)


@given(
    seed=st.integers(0, 2**16),
    num=st.integers(1, 300),
    num_queries=st.integers(1, 12),
    k=st.integers(1, 40),
    cut=st.integers(1, 300),
)
def test_the_best_are_those_that_sorting_all_scores_gives_ties_included(
    seed: int, num: int, num_queries: int, k: int, cut: int
) -> None:
    generator = np.random.default_rng(seed)
    queries, corpus = _whole_numbers(generator, num_queries), _whole_numbers(generator, num)
    places = generator.permutation(num)
    excluded = generator.integers(-1, num, size=num_queries)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(top_k, "_BLOCK", 64)
        patch.setattr(top_k, "_QUERIES", 5)
        best = TopK(queries, k=k, places=places, is_cosine=False, excluded=excluded)
        for first in range(0, num, cut):
            best.add(corpus[first : first + cut])
        found = list(best.best())
    expected = _by_sorting(queries, corpus, places, k, excluded)
    assert [one.documents.tolist() for one in found] == expected
    for one, row in zip(found, queries @ corpus.T, strict=True):
        assert np.array_equal(one.scores, row[one.documents])


def test_a_document_scores_the_same_wherever_it_stands() -> None:
    generator = np.random.default_rng(0)
    query = generator.standard_normal((3, 48), dtype=np.float32)
    corpus = generator.standard_normal((700, 48), dtype=np.float32)
    copies = np.concatenate([corpus, corpus[::-1]])
    best = TopK(query, k=4, places=np.arange(1400))
    best.add(copies)
    for one in best.best():
        assert one.scores[0] == one.scores[1]
        assert one.scores[2] == one.scores[3]
        # The later of two equals comes first.
        assert one.documents[0] == 1399 - one.documents[1] > 699


def test_many_blocks_from_disk_give_what_torch_gives_on_the_whole(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    np.save(tmp_path / "corpus.npy", generator.standard_normal((30_000, 16), dtype=np.float32))
    corpus = np.load(tmp_path / "corpus.npy", mmap_mode="r")
    queries = torch.randn(20, 16, generator=torch.Generator().manual_seed(0))
    best = TopK(queries, k=100, places=np.arange(len(corpus)))
    best.add(corpus)
    normal = torch.nn.functional.normalize
    scores, places = (normal(queries) @ normal(torch.from_numpy(np.array(corpus))).T).topk(100)
    for one, wanted, expected in zip(best.best(), places, scores, strict=True):
        assert one.documents.tolist() == wanted.tolist()
        assert np.allclose(one.scores, expected, atol=1e-6)


def test_a_zero_vector_and_opposite_ones_are_ranked_too() -> None:
    corpus = np.array([[0, 0], [-1, 0], [1, 0], [0, -0.0]], dtype=np.float32)
    best = TopK(np.array([[2, 0]], dtype=np.float32), k=9, places=np.arange(4))
    best.add(corpus)
    (one,) = best.best()
    assert one.documents.tolist() == [2, 3, 0, 1]
    assert one.scores.tolist() == [1, 0, 0, -1]


def test_what_was_not_announced_is_an_error() -> None:
    best = TopK(np.ones((1, 2)), k=1, places=np.arange(3))
    best.add(np.ones((2, 2)))
    with pytest.raises(ValueError, match="2 documents were added, 3 announced"):
        list(best.best())


def test_identifiers_are_ordered_as_python_orders_strings() -> None:
    identifiers = ["b", "a10", "a9", "\U0001f600", "é", ""]
    places = places_by_identifier(identifiers)
    assert [identifiers[place] for place in np.argsort(places)] == sorted(identifiers)
