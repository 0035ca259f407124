"""Ranking by an embedder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.models.dense_ranking import dense_ranker
from harness.models.embedder import Embedder


def test_the_ranking_is_that_of_all_cosines_and_ties_go_to_the_earlier_document(tiny_base: Path) -> None:
    embedder = Embedder.load(tiny_base, device="cpu", threads=1)
    corpus = ["a small cat", "a bond is a loan", "a small cat", "rain in the north", "the cat sleeps"]
    queries = ["a small cat", "loans"]
    found = dense_ranker(embedder, prompt="query: ", depth=3)(corpus)(queries, [0, 1])
    vectors = embedder.encode(queries, prompt="query: ")
    documents = embedder.encode(corpus, prompt=embedder.prompts.document)
    cosines = vectors @ documents.T
    for row, scores in enumerate(cosines):
        expected = sorted(range(len(corpus)), key=lambda place: (-scores[place], place))[:3]
        assert found.documents[row].tolist() == expected
        np.testing.assert_allclose(found.scores[row], scores[expected], atol=1e-6)
    np.testing.assert_allclose(found.positives, [cosines[0, 0], cosines[1, 1]], atol=1e-6)
    first = found.documents[0].tolist()
    assert first.index(0) + 1 == first.index(2)
