"""Statistics on the same numbers as scipy, statsmodels and ranx, and the laws that they must obey."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import ranx
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from harness.records.power import smallest_detectable
from harness.tables.families import holm
from harness.tables.levels import over_both, over_queries, over_seeds
from harness.tables.over_tasks import summarise_tasks
from harness.tables.resampling import bootstrap_intervals, randomisation_tests

_SOME = st.floats(-1, 1, allow_nan=False).map(lambda value: round(value, 4))


def _scores(num: int, *, lift: float = 0.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(lift, 0.2, size=num)


@pytest.mark.parametrize(("num", "lift"), [(40, 0.0), (40, 0.05), (300, 0.02)])
def test_randomisation_agrees_with_scipys_permutation_test(num: int, lift: float) -> None:
    values = _scores(num, lift=lift)
    theirs = stats.permutation_test(
        (values,),
        np.mean,
        permutation_type="samples",
        n_resamples=20_000,
        rng=1,
        alternative="two-sided",
    )
    assert randomisation_tests(values) == pytest.approx(theirs.pvalue, abs=0.015)


def test_few_differences_are_tested_exactly() -> None:
    values = _scores(9, lift=0.1)
    sums = [abs(np.dot(signs, values)) for signs in itertools.product((-1, 1), repeat=9)]
    exact = np.mean([one >= abs(values.sum()) - 1e-12 for one in sums])
    assert randomisation_tests(values) == exact


def test_randomisation_agrees_with_ranx_on_the_same_queries() -> None:
    draw = np.random.default_rng(3)
    queries = [f"q{n}" for n in range(60)]
    qrels = ranx.Qrels({query: {"d0": 1} for query in queries})
    runs = []
    for name, shape in (("weak", 3.0), ("strong", 1.5)):
        ranks = np.minimum(draw.geometric(1 / shape, size=60), 10)
        found = {
            query: {("d0" if place == rank else f"x{place}"): 20.0 - place for place in range(1, 12)}
            for query, rank in zip(queries, ranks, strict=True)
        }
        runs.append(ranx.Run(found, name=name))
    report = ranx.compare(
        qrels, runs=runs, metrics=["mrr@10"], stat_test="fisher", n_permutations=20_000, random_seed=5
    )
    theirs = report.comparisons[frozenset({"weak", "strong"})]["mrr@10"]["p_value"]
    by_query = [np.array([run.scores["mrr@10"][query] for query in queries]) for run in runs]
    assert randomisation_tests(by_query[1] - by_query[0]) == pytest.approx(theirs, abs=0.01)


def test_several_tests_over_the_same_queries_are_the_single_ones() -> None:
    rows = np.stack([_scores(50, seed=1), _scores(50, lift=0.1, seed=2)])
    together = randomisation_tests(rows)
    assert together == pytest.approx([randomisation_tests(row) for row in rows])
    assert bootstrap_intervals(rows) == pytest.approx(
        np.stack([bootstrap_intervals(row) for row in rows])
    )


def test_the_bootstrap_agrees_with_scipys() -> None:
    values = _scores(80, lift=0.03)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=2)
    expected = [theirs.confidence_interval.low, theirs.confidence_interval.high]
    assert bootstrap_intervals(values) == pytest.approx(expected, abs=0.003)


@given(arrays(np.float64, st.integers(1, 20), elements=_SOME))
@settings(max_examples=40, deadline=None)
def test_p_is_a_probability_and_blind_to_sign_and_scale(values: np.ndarray) -> None:
    p_value = randomisation_tests(values, rounds=500)
    assert 0 < p_value <= 1
    assert randomisation_tests(-values, rounds=500) == p_value
    assert randomisation_tests(8 * values, rounds=500) == p_value


@given(arrays(np.float64, st.integers(2, 30), elements=_SOME))
@settings(max_examples=40, deadline=None)
def test_an_interval_lies_among_the_differences(values: np.ndarray) -> None:
    low, high = bootstrap_intervals(values, rounds=300)
    assert values.min() - 1e-12 <= low <= high <= values.max() + 1e-12


def test_seeds_are_tested_like_scipys_paired_t() -> None:
    values = np.array([0.01, 0.03, 0.02, 0.05])
    found = over_seeds(values)
    theirs = stats.ttest_1samp(values, 0)
    assert found is not None
    assert found.p_value == pytest.approx(theirs.pvalue)
    interval = theirs.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert over_seeds(values[:1]) is None


def test_where_only_seeds_vary_both_levels_say_what_seeds_say() -> None:
    by_seed = np.array([0.01, 0.03, 0.02])
    found, seeds = over_both(np.repeat(by_seed[:, None], 50, axis=1)), over_seeds(by_seed)
    assert found is not None
    assert seeds is not None
    assert found.p_value == pytest.approx(seeds.p_value)
    assert (found.low, found.high) == pytest.approx((seeds.low, seeds.high))


def test_where_only_queries_vary_both_levels_say_what_queries_say() -> None:
    by_query = _scores(200, lift=0.03)
    found = over_both(np.repeat(by_query[None, :], 3, axis=0))
    theirs = stats.ttest_1samp(by_query, 0)
    assert found is not None
    assert found.p_value == pytest.approx(theirs.pvalue)


def test_seeds_are_not_pooled_with_queries() -> None:
    """Two seeds that disagree prove nothing, however many queries agree inside each."""
    draw = np.random.default_rng(0)
    values = np.array([[0.01], [0.09]]) + draw.normal(0, 0.05, size=(2, 1000))
    found = over_both(values)
    assert found is not None
    assert stats.ttest_1samp(values.ravel(), 0).pvalue < 1e-6
    assert found.p_value > 0.1
    assert found.low < 0 < found.high


@pytest.mark.parametrize(("seed_sd", "query_sd"), [(0.0, 0.0), (0.02, 0.0), (0.0, 0.2), (0.02, 0.2)])
def test_the_interval_over_both_levels_covers_the_truth(seed_sd: float, query_sd: float) -> None:
    draw = np.random.default_rng(11)
    covered = 0
    for _ in range(300):
        values = (
            draw.normal(0, seed_sd, size=(3, 1))
            + draw.normal(0, query_sd, size=(1, 60))
            + draw.normal(0, 0.1, size=(3, 60))
        )
        found = over_both(values)
        assert found is not None
        covered += found.low <= 0 <= found.high
    assert covered >= 0.92 * 300


def test_queries_alone_say_so() -> None:
    (found,) = over_queries(_scores(50, lift=0.2)[None, :])
    assert (found.level, found.num_units, found.num_seeds) == ("queries", 50, 0)
    assert found.low < found.value < found.high
    assert found.p_value < 0.01


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_holm_is_that_of_statsmodels(p_values: list[float]) -> None:
    theirs = multipletests(p_values, method="holm")[1]
    assert holm(p_values) == pytest.approx(list(theirs), abs=1e-12)


@pytest.mark.parametrize("num", [3, 5, 30, 300])
def test_the_smallest_detectable_difference_is_that_of_statsmodels(num: int) -> None:
    effect = TTestPower().solve_power(nobs=num, alpha=0.05, power=0.8, alternative="two-sided")
    found = smallest_detectable(0.2 / np.sqrt(num), degrees=num - 1)
    assert found == pytest.approx(effect * 0.2, rel=1e-3)


def test_tasks_are_counted_and_tested_once_each() -> None:
    values = [0.02, 0.03, -0.01, 0.0, 0.05, 0.04, 0.01, 0.00001]
    found = summarise_tasks(values)
    assert (found.wins, found.ties, found.losses, found.num_tasks) == (5, 2, 1, 8)
    assert found.mean == pytest.approx(np.mean(values))
    assert found.wilcoxon == pytest.approx(stats.wilcoxon(values).pvalue)
    assert found.randomisation == randomisation_tests(np.array(values))


@pytest.mark.parametrize("num", [6, 12, 40])
def test_wilcoxon_is_scipys(num: int) -> None:
    values = np.round(_scores(num, lift=0.08), 2)
    exact = stats.PermutationMethod(n_resamples=20_000, rng=3)
    theirs = stats.wilcoxon(values, method=exact)
    assert summarise_tasks(list(values)).wilcoxon == pytest.approx(theirs.pvalue, abs=0.01)


def test_nothing_is_tested_over_one_task_or_no_difference() -> None:
    assert summarise_tasks([0.1]).randomisation is None
    assert summarise_tasks([0.0, 0.0]).wilcoxon is None
    assert summarise_tasks([0.0, 0.0]).randomisation == 1.0
