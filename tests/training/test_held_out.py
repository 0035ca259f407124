"""Held-out pairs: the same whoever asks, and nothing of them trains."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.pairs import Pair
from harness.errors import DataError
from harness.study.recipe import ValidationConfig
from harness.training.held_out import NumberedObjective, divide_pairs
from harness.training.loop import StepOutcome
from tests.training.conftest import make_pairs

_TEXT = st.integers(0, 30).map(lambda number: f"text {number}")
_PAIR = st.builds(Pair, query=_TEXT, positive=_TEXT, negatives=st.lists(_TEXT, max_size=2).map(tuple))


def _held(pairs: list[Pair], *, seed: int = 0, wanted: int = 3, batch: int = 1) -> list[Pair]:
    division = divide_pairs(pairs, ValidationConfig(pairs=wanted, seed=seed), global_batch=batch)
    return [pairs[row] for row in division.held_out]


@given(st.lists(_PAIR, min_size=4, max_size=25), st.integers(0, 3), st.randoms(use_true_random=False))
def test_no_text_of_a_held_out_pair_trains_and_the_order_of_a_set_does_not_matter(
    pairs: list[Pair], seed: int, shuffler: random.Random
) -> None:
    validation = ValidationConfig(pairs=2, seed=seed)
    try:
        division = divide_pairs(pairs, validation, global_batch=1)
    except DataError:
        return
    held_out = [pairs[row] for row in division.held_out]
    assert len({(pair.query, pair.positive) for pair in held_out}) == 2
    texts = {text for pair in held_out for text in (pair.query, pair.positive)}
    trains = [pairs[row] for row in division.training]
    assert texts.isdisjoint(
        text for pair in trains for text in (pair.query, pair.positive, *pair.negatives)
    )
    # And nothing else is left out.
    for row in set(range(len(pairs))) - set(division.training):
        assert texts & {pairs[row].query, pairs[row].positive, *pairs[row].negatives}
    shuffled = pairs.copy()
    shuffler.shuffle(shuffled)
    other = divide_pairs(shuffled, validation, global_batch=1)
    assert [shuffled[row] for row in other.held_out] == held_out
    assert sorted(map(repr, (shuffled[row] for row in other.training))) == sorted(map(repr, trains))


def test_stages_with_other_batches_hold_out_the_same_pairs() -> None:
    pairs = make_pairs()
    assert _held(pairs, batch=2) == _held(pairs, batch=8)
    assert any(_held(pairs, seed=seed) != _held(pairs) for seed in range(1, 4))


def test_a_larger_number_holds_out_what_a_smaller_one_does_and_more() -> None:
    pairs = make_pairs()
    assert _held(pairs, wanted=5)[:3] == _held(pairs)


def test_a_share_is_a_number_of_pairs() -> None:
    pairs = make_pairs()
    division = divide_pairs(pairs, ValidationConfig(share=0.25), global_batch=1)
    assert [pairs[row] for row in division.held_out] == _held(pairs)
    assert len(division.training) == 9


def test_without_validation_every_pair_trains() -> None:
    division = divide_pairs(make_pairs(), None, global_batch=1)
    assert (list(division.training), division.held_out) == (list(range(12)), ())


@pytest.mark.parametrize(
    ("validation", "batch", "message", "cure"),
    [
        (ValidationConfig(pairs=12), 1, "holds out 12 pairs of a set of 12", "less than 12"),
        (ValidationConfig(share=0.01), 1, "holds out 0 pairs of a set of 12", "pairs` to 2 or more"),
        (ValidationConfig(pairs=5), 8, "5 pairs are held out, 7 train, and a batch has 8", "Lower"),
    ],
)
def test_a_set_that_is_too_small_is_refused(
    validation: ValidationConfig, batch: int, message: str, cure: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        divide_pairs(make_pairs(), validation, global_batch=batch)
    assert "`data.validation" in caught.value.message
    assert cure in caught.value.cure


def test_names_of_classes_as_positives_are_told() -> None:
    pairs = [
        Pair(query=f"query {number}", positive=("sport", "news")[number % 2]) for number in range(40)
    ]
    with pytest.raises(DataError, match=r"held out, 0 train; 3\d with texts of theirs are") as caught:
        divide_pairs(pairs, ValidationConfig(pairs=8), global_batch=4)
    assert "names of classes" in caught.value.cure


def test_pairs_are_named_by_their_places_in_the_whole_set() -> None:
    class First:
        def backward(self, step: int) -> StepOutcome:
            return StepOutcome(loss=1.0, rows=[0, 2], tokens=step)

    division = divide_pairs(make_pairs(), ValidationConfig(pairs=3), global_batch=1)
    outcome = NumberedObjective(First(), division.training).backward(5)
    assert (outcome.loss, outcome.tokens) == (1.0, 5)
    assert list(outcome.rows) == [division.training[0], division.training[2]]
    assert list(outcome.rows) != [0, 2]
