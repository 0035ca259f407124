"""Mixtures: shares of several sets as one."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from harness.data.mixtures import Part, chosen_rows, mix
from harness.data.pair_sets import PairSet, write_pairs
from harness.data.pairs import Pair


@given(
    num_pairs=st.integers(1, 500),
    small=st.floats(0.01, 1),
    large=st.floats(0.01, 1),
    seed=st.integers(0, 5),
)
def test_a_smaller_share_takes_a_subset_of_a_larger_one(
    num_pairs: int, small: float, large: float, seed: int
) -> None:
    small, large = sorted((small, large))
    some = chosen_rows(num_pairs, share=small, name="a", seed=seed).tolist()
    more = chosen_rows(num_pairs, share=large, name="a", seed=seed).tolist()
    assert set(some) <= set(more)
    assert len(some) == max(1, round(small * num_pairs))
    assert some == sorted(set(some))


def _set(path: Path, name: str, num_pairs: int, dataset: str = "") -> PairSet:
    pairs = [Pair(query=f"{name}{i}", positive=f"to {i}", dataset=dataset) for i in range(num_pairs)]
    write_pairs(path / f"{name}.arrow", pairs)
    return PairSet(path / f"{name}.arrow")


def test_pairs_keep_their_dataset_or_get_their_parts_name(tmp_path: Path) -> None:
    parts = [
        Part(name="nq", pairs=_set(tmp_path, "nq", 40), share=0.5),
        Part(name="mine", pairs=_set(tmp_path, "own", 10, dataset="kept"), share=1.0),
    ]
    mixed = list(mix(parts, seed=3))
    assert [pair.dataset for pair in mixed] == ["nq"] * 20 + ["kept"] * 10
    assert mixed == list(mix(parts, seed=3))
    assert mixed != list(mix(parts, seed=4))
    assert [pair.query for pair in mixed[20:]] == [f"own{i}" for i in range(10)]
