"""Equal is equal but for form; near is what its words say; signatures lose no pair at the threshold."""

from __future__ import annotations

import random
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data.overlap_settings import Settings
from harness.data.text_matching import (
    all_near,
    candidates,
    jaccard,
    normalise,
    shingles,
    signatures,
    text_hash,
)
from tests.evaluation.folders import WORDS, sentence

_SETTINGS = Settings()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("The old bridge.", "the OLD bridge"),
        ("What is it?", "  what\tis\nit "),
        ("e\u0301te\u0301", "\u00e9t\u00e9"),
        ("\uff21\uff22\uff23", "abc"),
        ("stra\u00dfe", "STRASSE"),
        ("zero\u200bwidth", "zero width"),
        ("\u6771\u4eac\u306f\u3001\u5bd2\u3044\u3002", "\u6771\u4eac\u306f\u5bd2\u3044"),
    ],
)
def test_form_makes_no_difference(first: str, second: str) -> None:
    assert normalise(first) == normalise(second)
    assert text_hash(normalise(first)) == text_hash(normalise(second))


@pytest.mark.parametrize(
    ("first", "second"),
    [("a = b + c", "a = b < c"), ("\u0e01\u0e32", "\u0e01\u0e34"), ("costs 5", "costs 6")],
)
def test_content_does(first: str, second: str) -> None:
    assert normalise(first) != normalise(second)


@given(st.text())
def test_the_normal_form_is_final(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert once == once.strip()
    assert not any(unicodedata.category(sign) in {"Zl", "Zp", "Cc"} for sign in once)


@given(st.lists(st.sampled_from(WORDS), min_size=1), st.lists(st.sampled_from(WORDS), min_size=1))
def test_similarity_is_symmetric_and_one_for_equal_texts(first: list[str], second: list[str]) -> None:
    a, b = " ".join(first), " ".join(second)
    assert jaccard(a, b, size=2) == jaccard(b, a, size=2)
    assert jaccard(a, a, size=2) == 1
    assert 0 <= jaccard(a, b, size=2) <= 1


def test_scripts_without_spaces_have_words_too() -> None:
    normal = normalise("\u4eca\u5929\u5929\u6c14\u5f88\u597d")
    assert len(normal.split()) == 6
    assert len(shingles(normal, size=2)) == 5


def _edited(text: str, rng: random.Random, *, changes: int) -> str:
    words = text.split()
    for place in rng.sample(range(len(words)), changes):
        words[place] = f"other{rng.randrange(1000)}"
    return " ".join(words)


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_the_share_of_equal_values_estimates_the_similarity(seed: int) -> None:
    rng = random.Random(seed)
    text = " ".join(f"w{rng.randrange(5000)}" for _ in range(120))
    other = _edited(text, rng, changes=rng.randint(0, 40))
    first, second = signatures([text, other], _SETTINGS)
    # Four standard errors of 128 draws, at the most.
    assert abs(float((first == second).mean()) - jaccard(text, other, size=2)) < 0.18


@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_every_pair_over_the_threshold_is_met_and_no_other(seed: int) -> None:
    rng = random.Random(seed)
    texts = [" ".join(f"w{rng.randrange(9000)}" for _ in range(60)) for _ in range(40)]
    others = [_edited(text, rng, changes=rng.choice((0, 1, 2, 3, 5, 12))) for text in texts]
    expected = {
        (a, b)
        for a, text in enumerate(texts)
        for b, other in enumerate(others)
        if jaccard(text, other, size=2) >= _SETTINGS.threshold
    }
    found = all_near(texts, others, _SETTINGS)
    assert found <= expected
    # The bands meet 99 in 100 pairs that are just at the threshold, and nearly all above it.
    assert len(expected - found) <= 1


def test_the_size_of_a_block_changes_nothing_and_repeated_texts_are_not_multiplied() -> None:
    rng = random.Random(0)
    texts = [sentence(rng, 30) for _ in range(50)]
    first = signatures(texts, _SETTINGS)
    second = signatures([*texts[:10], *[texts[0]] * 500], _SETTINGS)
    by_block = [
        np.concatenate(list(candidates(first, second, _SETTINGS, block=block))) for block in (7, 1000)
    ]
    as_sets = [{tuple(pair) for pair in pairs.tolist()} for pairs in by_block]
    assert as_sets[0] == as_sets[1]
    many = np.concatenate(list(candidates(second, first, _SETTINGS)))
    # Text 0 stands 501 times on the one side: it is compared with some of them, not with all.
    assert 1 <= int((many[:, 1] == 0).sum()) < 501


def test_nothing_on_a_side_finds_nothing() -> None:
    none = signatures([], _SETTINGS)
    some = signatures(["a b c d"], _SETTINGS)
    assert none.shape == (0, 128)
    assert sum(len(pairs) for pairs in candidates(none, some, _SETTINGS)) == 0
    assert sum(len(pairs) for pairs in candidates(some, none, _SETTINGS)) == 0
