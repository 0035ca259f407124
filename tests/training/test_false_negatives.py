"""Which candidates are masked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.data.pairs import Pair
from harness.training.false_negatives import KnownPositives, mask_false_negatives, text_hash


def test_candidates_that_are_no_negatives_are_masked() -> None:
    is_masked = mask_false_negatives(
        queries=["a", "b", "a", "d"],
        positives=["x", "y", "z", "x"],
        negatives=["y", "b", "n", "x"],
    )
    assert is_masked.int().tolist() == [
        # The positive of the equal query, and the twice repeated text of its own positive.
        [0, 0, 1, 1, 0, 0, 0, 1],
        # Its own positive among the hard negatives, and itself.
        [0, 0, 0, 0, 1, 1, 0, 0],
        [1, 0, 0, 0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0, 0, 1],
    ]


def test_distinct_texts_mask_nothing() -> None:
    assert not mask_false_negatives(["a", "b"], ["c", "d"], ["e", "f"]).any()


def test_positives_that_the_set_knows_for_a_query_are_masked_wherever_they_turn_up() -> None:
    known = KnownPositives(
        [
            Pair(query="a", positive="x"),
            Pair(query="b", positive="y"),
            Pair(query="a", positive="z"),
            Pair(query="a", positive="x"),
        ]
    )
    is_masked = mask_false_negatives(["a", "b"], ["x", "y"], ["z", "n"], known=known)
    assert is_masked.int().tolist() == [[0, 0, 1, 0], [0, 0, 0, 0]]
    # In the batch alone nothing tells that "z" answers "a".
    assert not mask_false_negatives(["a", "b"], ["x", "y"], ["z", "n"]).any()
    assert known.of(text_hash("b")) == set()


@given(texts=st.lists(st.sampled_from("abcdef"), min_size=1, max_size=8), seed=st.integers(0, 3))
def test_the_mask_is_that_of_comparing_texts(texts: list[str], seed: int) -> None:
    positives = [chr(ord(text) + seed) for text in texts]
    negatives = texts[:3]
    candidates = [*positives, *negatives]
    found = mask_false_negatives(texts, positives, negatives).tolist()
    for row, query in enumerate(texts):
        answers = {positives[other] for other, text in enumerate(texts) if text == query}
        for column, candidate in enumerate(candidates):
            is_answer = column < len(texts) and texts[column] == query
            wanted = candidate in {query, positives[row]} or is_answer
            assert candidate in answers or not is_answer
            assert found[row][column] is (wanted and column != row)
