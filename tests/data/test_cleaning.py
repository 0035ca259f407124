"""Cleaning: what is dropped and why, and near duplicates."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.data.cleaning import clean
from harness.data.near_duplicates import later_duplicates, shingles
from harness.data.pair_sets import PairSet, write_pairs
from harness.data.pairs import Pair
from harness.study.sources import Cleaning
from tests.data.test_pairs import PAIRS


def _set(path: Path, pairs: list[Pair]) -> PairSet:
    write_pairs(path / "a.arrow", pairs)
    return PairSet(path / "a.arrow")


def test_each_pair_is_dropped_for_its_first_reason_and_counted(tmp_path: Path) -> None:
    pairs = [
        Pair(query="what is a cat", positive="a small animal"),
        Pair(query="What is  a CAT", positive="a small animal"),
        Pair(query="Same text", positive="same  text"),
        Pair(query="x", positive="a small animal"),
        Pair(query="what is a cat", positive="a" * 50),
    ]
    counts: Counter[str] = Counter()
    kept = list(clean(_set(tmp_path, pairs), Cleaning(min_characters=2, max_characters=40), counts))
    assert kept == pairs[:1]
    assert counts == {"kept": 1, "duplicate": 1, "copy": 1, "too short": 1, "too long": 1}


@given(pairs=st.lists(PAIRS, min_size=1, max_size=8), near=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
def test_the_counts_add_up_and_cleaning_again_drops_nothing(
    pairs: list[Pair], near: bool, tmp_path: Path
) -> None:
    setting = Cleaning(duplicates="near" if near else "exact", permutations=32)
    counts: Counter[str] = Counter()
    kept = list(clean(_set(tmp_path, pairs), setting, counts))
    assert counts.total() == len(pairs)
    assert counts["kept"] == len(kept)
    if kept:
        again: Counter[str] = Counter()
        assert list(clean(_set(tmp_path, kept), setting, again)) == kept


def test_planted_near_duplicates_are_found_and_others_are_not() -> None:
    rng = random.Random(0)
    words = [f"word{number}" for number in range(2000)]
    texts = [" ".join(rng.choices(words, k=60)) for _ in range(150)]
    # Two words of sixty changed at the end: Jaccard similarity of the trigrams about 0.9.
    near = [f"{text.rsplit(' ', 2)[0]} other end" for text in texts[:40]]
    # Half of the words changed: about 0.3.
    far = [" ".join([*text.split()[:30], *rng.choices(words, k=30)]) for text in texts[40:80]]
    found = later_duplicates([*texts, *near, *far], similarity=0.75, permutations=128)
    assert not found[: len(texts)].any()
    assert found[len(texts) : len(texts) + len(near)].mean() >= 0.95
    assert not found[len(texts) + len(near) :].any()


@given(st.lists(st.text(max_size=30), max_size=12))
def test_of_equal_texts_all_but_the_first_are_duplicates(texts: list[str]) -> None:
    found = later_duplicates(texts, similarity=0.9, permutations=32)
    shapes = [frozenset(shingles(text)) for text in texts]
    for place, shape in enumerate(shapes):
        if shape in shapes[:place]:
            assert found[place]


def test_texts_without_spaces_have_shingles_too() -> None:
    assert shingles("東京都庁") == ["東京都".encode(), "京都庁".encode()]
    assert shingles("") == [b""]
    assert shingles("A b  C d") == [b"a b c", b"b c d"]
