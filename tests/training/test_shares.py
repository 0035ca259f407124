"""The division of a batch among ranks and sub-batches."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.training.shares import share_texts

_LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=50)


@given(lengths=_LENGTHS, tokens=st.integers(1, 200), num_ranks=st.integers(1, 5))
def test_every_text_has_one_place_and_every_rank_as_many_sub_batches(
    lengths: list[int], tokens: int, num_ranks: int
) -> None:
    assume(len(lengths) >= num_ranks)
    shares = share_texts(lengths, tokens=tokens, num_ranks=num_ranks)
    places = [index for share in shares for batch in share for index in batch]
    assert sorted(places) == list(range(len(lengths)))
    assert len({len(share) for share in shares}) == 1
    for share in shares:
        too_large = [
            batch
            for batch in share
            if len(batch) > 1 and sum(lengths[index] for index in batch) > tokens
        ]
        # One more text than the others have, in sub-batches of one text each, cannot be spread out.
        assert len(too_large) <= 1
        assert all(len(batch) == 2 for batch in too_large)


def test_ranks_get_texts_of_like_lengths() -> None:
    shares = share_texts(list(range(1, 101)), tokens=10**6, num_ranks=4)
    totals = [sum(index + 1 for index in share[0]) for share in shares]
    assert max(totals) - min(totals) <= 4


def test_an_odd_text_that_has_no_peer_joins_another() -> None:
    assert share_texts([50, 50, 50], tokens=10, num_ranks=2) == [[[0]], [[1, 2]]]


def test_fewer_texts_than_ranks_are_refused() -> None:
    with pytest.raises(HarnessError, match="2 texts cannot be shared by 3 ranks"):
        share_texts([4, 5], tokens=10, num_ranks=3)
