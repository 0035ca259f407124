"""The laws of the sampler."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.pairs import Pair
from harness.errors import DataError
from harness.training.batches import BatchSampler, Sampling, choose_negatives

_SIZES = st.tuples(st.integers(1, 60), st.integers(1, 60)).map(lambda sizes: (max(sizes), min(sizes)))


@given(sizes=_SIZES, seed=st.integers(0, 2**40), step=st.integers(0, 500))
def test_a_batch_depends_on_seed_and_step_alone(sizes: tuple[int, int], seed: int, step: int) -> None:
    num_pairs, global_batch = sizes
    fresh = BatchSampler([""] * num_pairs, global_batch=global_batch, seed=seed)
    used = BatchSampler([""] * num_pairs, global_batch=global_batch, seed=seed)
    for other in (0, step + 1, 3 * step):
        used.rows(other)
    assert fresh.rows(step) == used.rows(step)


@given(sizes=_SIZES, seed=st.integers(0, 100), epoch=st.integers(0, 5))
def test_an_epoch_holds_no_pair_twice_and_leaves_out_less_than_a_batch(
    sizes: tuple[int, int], seed: int, epoch: int
) -> None:
    num_pairs, global_batch = sizes
    sampler = BatchSampler([""] * num_pairs, global_batch=global_batch, seed=seed)
    steps = num_pairs // global_batch
    rows = [row for step in range(epoch * steps, (epoch + 1) * steps) for row in sampler.rows(step)]
    assert len(rows) == len(set(rows)) == steps * global_batch
    assert num_pairs - len(rows) < global_batch
    assert set(rows) <= set(range(num_pairs))


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    first, second = (BatchSampler([""] * 50, global_batch=50, seed=seed) for seed in (0, 1))
    assert first.rows(0) != first.rows(1)
    assert first.rows(0) != second.rows(0)


def test_a_batch_larger_than_the_set_is_refused() -> None:
    with pytest.raises(DataError, match="global_batch 9 is more than the 8 pairs"):
        BatchSampler([""] * 8, global_batch=9, seed=0)


def test_negatives_are_chosen_without_repetition_by_seed_and_step() -> None:
    pairs = [Pair(query="q", positive="p", negatives=tuple("abcdefgh")) for _ in range(4)]
    chosen = choose_negatives(pairs, num_negatives=3, seed=0, step=5)
    assert chosen == choose_negatives(pairs, num_negatives=3, seed=0, step=5)
    assert chosen != choose_negatives(pairs, num_negatives=3, seed=0, step=6)
    assert all(len(set(texts)) == 3 for texts in chosen)
    assert choose_negatives(pairs, num_negatives=0, seed=0, step=0) == [(), (), (), ()]


_NAMES = ["nli"] * 30 + ["nq"] * 13 + ["quora"] * 20


@given(seed=st.integers(0, 50), step=st.integers(0, 40))
def test_batches_of_one_dataset_mix_none(seed: int, step: int) -> None:
    sampling = Sampling(batching="same_dataset", ratios={"quora": 0.5})
    sampler = BatchSampler(_NAMES, global_batch=5, seed=seed, sampling=sampling)
    assert sampler.num_batches == 6 + 2 + 2
    assert len({_NAMES[row] for row in sampler.rows(step)}) == 1


@pytest.mark.parametrize("batching", ["mixed", "same_dataset"])
def test_an_epoch_takes_the_share_of_each_dataset(batching: str) -> None:
    sampling = Sampling(batching=batching, ratios={"nli": 0.5, "nq": 0.1})
    sampler = BatchSampler(_NAMES, global_batch=1, seed=0, sampling=sampling)
    rows = [row for step in range(sampler.num_batches) for row in sampler.rows(step)]
    taken = {name: sum(_NAMES[row] == name for row in rows) for name in sorted(set(_NAMES))}
    assert taken == {"nli": 15, "nq": 1, "quora": 20}
    assert len(rows) == len(set(rows))
    # Another epoch takes others.
    later = [row for step in range(36, 72) for row in sampler.rows(step)]
    assert set(later) != set(rows)


def test_a_ratio_of_a_dataset_that_is_not_there_is_refused() -> None:
    with pytest.raises(DataError, match=r"no pair comes from dataset 'nlii'\..*nli"):
        BatchSampler(_NAMES, global_batch=2, seed=0, sampling=Sampling(ratios={"nlii": 0.5}))


def test_a_batch_larger_than_every_dataset_is_refused_where_they_are_not_mixed() -> None:
    BatchSampler(_NAMES, global_batch=40, seed=0)
    with pytest.raises(DataError, match="global_batch 40 is more than the 30 pairs"):
        BatchSampler(_NAMES, global_batch=40, seed=0, sampling=Sampling(batching="same_dataset"))
