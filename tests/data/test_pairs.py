"""The check of a single training pair."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.pairs import Pair, make_pair, plain_pair
from harness.errors import DataError

TEXT = st.text(min_size=1, max_size=40).filter(lambda text: bool(text.strip()) and _is_utf8(text))
PAIRS = st.builds(
    Pair,
    query=TEXT,
    positive=TEXT,
    negatives=st.lists(TEXT, max_size=3).map(tuple),
    dataset=st.sampled_from(["", "a", "b"]),
    instruction=st.none() | TEXT,
)


def _is_utf8(text: str) -> bool:
    return not any(0xD800 <= ord(character) <= 0xDFFF for character in text)


@given(pair=PAIRS)
def test_a_pair_survives_its_plain_form(pair: Pair) -> None:
    assert make_pair(plain_pair(pair), where="here") == pair


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"query": "a"}, "'positive' must be a text"),
        ({"query": "a", "positve": "b"}, "Did you mean 'positve'?"),
        ({"query": " ", "positive": "b"}, "'query' must be a text that is not blank"),
        ({"query": "a", "positive": "b", "negatives": "c"}, "'negatives' must be a list of texts"),
        ({"query": "a", "positive": "b", "dataset": 3}, "'dataset' must be a text"),
        ({"query": "a", "positive": "b\ud800"}, "a lone surrogate"),
    ],
)
def test_what_is_no_pair_is_named_with_its_place(row: dict[str, object], message: str) -> None:
    with pytest.raises(DataError) as caught:
        make_pair(row, where="file:3")
    assert caught.value.message.startswith("file:3: ")
    assert message in caught.value.message
