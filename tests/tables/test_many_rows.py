"""A thousand rows at once say, to the last digit, what one row at a time says."""

from __future__ import annotations

import math
import random
import statistics
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from scipy import stats

from harness.records.schema import Record
from harness.records.summary import Member, RowSummary, SuiteSummary
from harness.tables.aggregate import group_means
from harness.tables.build import build_table
from harness.tables.levels import (
    each_over_both,
    each_over_seeds,
    is_beyond_draws,
    over_both,
    over_queries,
    over_seeds,
)
from harness.tables.resampling import SMALLEST_P, bootstrap_intervals, randomisation_tests
from harness.tables.scores import Scores
from tests.tables.fake_study import make_records, make_summary

SUMMARY = make_summary()
RECORDS = make_records()


def _normal(*shape: int, seed: int = 0, lift: float = 0.02) -> np.ndarray:
    return np.random.default_rng(seed).normal(lift, 0.1, size=shape)


@given(st.integers(1, 30), st.integers(2, 12), st.integers(0, 2**32))
@settings(max_examples=20)
def test_seeds_of_many_rows_are_tested_as_those_of_each(num: int, seeds: int, seed: int) -> None:
    rows = _normal(num, seeds, seed=seed)
    assert each_over_seeds(rows) == [over_seeds(row) for row in rows]
    plain = stats.ttest_1samp(rows, 0, axis=1).pvalue
    assert [one.p_value for one in each_over_seeds(rows)] == pytest.approx(plain)


@given(st.integers(1, 20), st.integers(2, 4), st.integers(2, 60), st.integers(0, 2**32))
@settings(max_examples=20)
def test_both_levels_of_many_rows_are_tested_as_those_of_each(
    num: int, seeds: int, queries: int, seed: int
) -> None:
    rows = _normal(num, seeds, queries, seed=seed)
    assert each_over_both(rows) == [over_both(row) for row in rows]


@pytest.mark.parametrize("num", [5, 33, 700])
def test_rows_that_share_draws_have_the_p_of_each(num: int) -> None:
    rows = _normal(num, 25, seed=1)
    some = [0, num // 2, num - 1]
    assert list(randomisation_tests(rows)[some]) == [randomisation_tests(rows[one]) for one in some]


def test_intervals_of_many_rows_are_those_of_each_but_for_rounding() -> None:
    rows = np.vstack([_normal(30, 40, seed=2), np.zeros((1, 40)), 1e6 * _normal(1, 40)])
    together = bootstrap_intervals(rows)
    singly = np.stack([bootstrap_intervals(row) for row in rows])
    assert np.abs(together - singly).max(axis=1) == pytest.approx(0, abs=1e-4)
    assert np.abs(together[:31] - singly[:31]).max() < 1e-11


@given(st.permutations(range(40)))
@settings(max_examples=10)
def test_the_interval_of_a_row_does_not_depend_on_its_neighbours(order: list[int]) -> None:
    rows = _normal(40, 50, seed=3)
    assert np.array_equal(
        bootstrap_intervals(rows, rounds=500)[order], bootstrap_intervals(rows[order], rounds=500)
    )


def test_in_a_large_family_p_can_be_smaller_than_draws_can_tell() -> None:
    rows = _normal(2, 200, lift=0.1)
    few, many = over_queries(rows), over_queries(rows, family=50_000)
    assert not is_beyond_draws(500)
    assert is_beyond_draws(501)
    assert [one.p_value for one in few] == [SMALLEST_P] * 2
    plain = stats.ttest_1samp(rows, 0, axis=1).pvalue
    assert [one.p_value for one in many] == pytest.approx(plain)
    unclear = _normal(2, 200, lift=0.0)
    assert over_queries(unclear, family=50_000) == over_queries(unclear)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.floats(-1e6, 1e6)), min_size=1, max_size=60),
    st.randoms(use_true_random=False),
)
def test_means_of_groups_are_exact_whatever_the_order(
    pairs: list[tuple[int, float]], draw: random.Random
) -> None:
    def found(listed: list[tuple[int, float]]) -> dict[int, float]:
        groups, means = group_means(np.array([v for _, v in listed]), np.array([g for g, _ in listed]))
        assert list(groups) == list(dict.fromkeys(g for g, _ in listed)) or len(groups) == len(listed)
        return dict(zip(groups.tolist(), means.tolist(), strict=True))

    expected = {
        group: math.fsum(own) / len(own)
        for group in {g for g, _ in pairs}
        for own in [[v for g, v in pairs if g == group]]
    }
    shuffled = list(pairs)
    draw.shuffle(shuffled)
    assert found(pairs) == found(shuffled) == expected


studies = st.builds(
    lambda values, fates: [
        _changed(one, value, fate)
        for one, value, fate in zip(RECORDS, values, fates, strict=True)
        if fate != "absent"
    ],
    st.lists(st.floats(0, 1), min_size=len(RECORDS), max_size=len(RECORDS)),
    st.lists(
        st.sampled_from(["kept"] * 12 + ["absent", "failed", "outdated", "second"]),
        min_size=len(RECORDS),
        max_size=len(RECORDS),
    ),
)


def _changed(record: Record, value: float, fate: str) -> Record:
    if record.state != "ok" or fate == "kept":
        return structs.replace(record, value=value) if record.state == "ok" else record
    if fate == "failed":
        return structs.replace(record, value=None, state="failed", reason="out of memory")
    if fate == "outdated":
        return structs.replace(record, value=value, revision="another")
    return structs.replace(record, value=value, subset="second")


@given(studies, st.integers(0, 2**32))
@settings(max_examples=60)
def test_scores_are_those_of_a_plain_reading(records: list[Record], seed: int) -> None:
    """The mean over the parts of a task, where a model has exactly the parts that any model has."""
    random.Random(seed).shuffle(records)
    parts = defaultdict(set)
    values: dict[tuple[str, str, str], dict[tuple[str, str], Record]] = defaultdict(dict)
    for one in records:
        if one.is_main and one.state == "ok":
            parts[one.suite, one.task].add((one.split, one.subset))
            values[one.variant, one.suite, one.task][one.split, one.subset] = one
    scores = Scores(SUMMARY, records)
    for place, row in enumerate(SUMMARY.rows):
        for suite, task in scores.tasks:
            expected = []
            for member in row.members:
                found = values[member.slug, suite, task]
                own = {
                    part: one.value or 0.0
                    for part, one in found.items()
                    if not one.revision or not member.revision or one.revision == member.revision
                }
                is_whole = own and set(own) == parts[suite, task]
                expected.append(statistics.fmean(own.values()) if is_whole else None)
            assert scores.values(place)[suite, task] == tuple(expected)
            score = scores.score(place, (suite, task))
            assert [one.value for one in score.measurements] == expected


@given(studies)
@settings(max_examples=30)
def test_a_tables_numbers_are_those_of_plain_arithmetic(records: list[Record]) -> None:
    table = build_table(SUMMARY, records)
    base = next(row for row in table.rows if row.is_baseline)
    for row in table.rows:
        for cell, other, column in zip(row.cells, base.cells, table.columns, strict=True):
            if column.kind == "delta" or cell.state != "ok":
                continue
            values = [one.value for one in cell.per_seed]
            assert cell.value == math.fsum(values) / len(values)
            spread = statistics.stdev(values) if len(values) > 1 else None
            assert cell.spread == (None if spread is None else pytest.approx(spread, abs=1e-15))
            theirs = {one.seed: one.value for one in other.per_seed}
            paired = [one.value - theirs[one.seed] for one in cell.per_seed if one.seed in theirs]
            if cell.delta is not None and cell.delta.seeds:
                assert cell.delta.value == math.fsum(paired) / len(paired)
            if len(paired) > 1 and cell.inference is not None:
                assert cell.inference.value == np.mean(paired)


def test_a_table_says_where_p_comes_from_in_a_large_family() -> None:
    tasks = tuple(f"T{number}" for number in range(20))
    rows = tuple(
        RowSummary(
            label=f"v{number}", levels={}, members=(Member(slug=f"v{number}", revision="", seed=1),)
        )
        for number in range(600)
    )
    draw = np.random.default_rng(0)
    records = [
        structs.replace(
            RECORDS[0],
            variant=row.label,
            revision="",
            seed=1,
            suite="s",
            task=task,
            value=0.5 + 0.1 * (place == 1) + float(draw.normal(0, 0.001)),
        )
        for place, row in enumerate(rows)
        for task in tasks
    ]
    suite = SuiteSummary(name="s", evaluator="mteb", tasks=tasks)
    large = replace(SUMMARY, factors={}, baseline="v0", rows=rows, suites=(suite,))
    for summary, is_large in ((large, True), (replace(large, rows=rows[:20]), False)):
        table = build_table(summary, records)
        marks = [row.cells[-1].mark for row in table.rows]
        assert marks[1] == "§"
        assert any("its p is Student's" in note for note in table.notes) == is_large
