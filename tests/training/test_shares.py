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
    # A rank can hold fewer texts than another needs sub-batches only where these hold one text each.
    assume(len(lengths) >= num_ranks and tokens >= 2 * max(lengths))
    shares = share_texts(lengths, tokens=tokens, num_ranks=num_ranks)
    places = [index for share in shares for batch in share for index in batch]
    assert sorted(places) == list(range(len(lengths)))
    assert len({len(share) for share in shares}) == 1
    for share in shares:
        for batch in share:
            assert len(batch) == 1 or sum(lengths[index] for index in batch) <= tokens


def test_ranks_get_texts_of_like_lengths() -> None:
    shares = share_texts(list(range(1, 101)), tokens=10**6, num_ranks=4)
    totals = [sum(index + 1 for index in share[0]) for share in shares]
    assert max(totals) - min(totals) <= 4


def test_ranks_that_cannot_have_as_many_sub_batches_are_refused() -> None:
    with pytest.raises(HarnessError, match="cannot be made as many"):
        share_texts([50, 50, 50], tokens=10, num_ranks=2)


def test_fewer_texts_than_ranks_are_refused() -> None:
    with pytest.raises(HarnessError, match="2 texts cannot be shared by 3 ranks"):
        share_texts([4, 5], tokens=10, num_ranks=3)
