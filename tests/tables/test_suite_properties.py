"""Laws of suite tables, whatever the records."""

from __future__ import annotations

import math
import random
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from harness.records.bulk import to_bulk_frame
from harness.records.facts import Suite, TaskFacts
from harness.records.schema import Record
from harness.report.sheet import sheet_of
from harness.report.sheet_formats import render_csv
from harness.tables.format import round_scaled
from harness.tables.suite_table import SuiteTable, borda_ranks, build_suite_table, mean

law = settings(deadline=None, max_examples=40)
"""Tables take some ten milliseconds each, more on a busy machine."""

TASKS = {"A1": "A", "A2": "A", "A3": "A", "B1": "B", "C1": "C"}
SUITE = Suite(
    name="made up",
    tasks=tuple(
        TaskFacts(name=name, task_type=kind, metric="accuracy", splits=("test",), subsets=("x", "y"))
        for name, kind in TASKS.items()
    ),
    averages=("task", "type"),
    convention="recorded",
)
BASE = Record(
    variant="m", revision="r", seed=None, suite="", task="A1", task_type="A", split="test", subset="x",
    metric="accuracy", value=0.5,
)  # fmt: skip

values = st.floats(0, 1, allow_nan=False)
records_of_models = st.dictionaries(
    st.tuples(
        st.sampled_from(["m", "n"]),
        st.sampled_from(["r", "s"]),
        st.sampled_from(sorted(TASKS)),
        st.sampled_from(["x", "y"]),
    ),
    values,
    max_size=40,
)


def _records(found: dict[tuple[str, str, str, str], float]) -> list[Record]:
    return [
        structs.replace(BASE, variant=model, revision=revision, task=task, subset=subset, value=value)
        for (model, revision, task, subset), value in found.items()
    ]


def _table(records: list[Record]) -> SuiteTable:
    return build_suite_table(to_bulk_frame(records), SUITE)


@law
@given(records_of_models)
def test_coverage_counts_the_tasks_that_are_whole(
    found: dict[tuple[str, str, str, str], float],
) -> None:
    for row in _table(_records(found)).rows:
        own = {key[2:] for key in found if key[:2] == (row.model, row.revision)}
        whole = {task for task in TASKS if {(task, "x"), (task, "y")} <= own}
        assert row.coverage == f"{len(whole)}/{len(TASKS)}"
        assert {gap.task for gap in row.gaps} == set(TASKS) - whole


@law
@given(records_of_models)
def test_a_mean_is_there_exactly_if_all_its_tasks_are(
    found: dict[tuple[str, str, str, str], float],
) -> None:
    table = _table(_records(found))
    for row in table.rows:
        lacking = {gap.task for gap in row.gaps}
        for column, value in zip(table.columns, row.values, strict=True):
            tasks = {SUITE.tasks[place].name for place in column.tasks}
            assert (value is None) == bool(tasks & lacking)


@law
@given(records_of_models)
def test_averages_are_the_plain_means(found: dict[tuple[str, str, str, str], float]) -> None:
    table = _table(_records(found))
    names = [column.name for column in table.columns]
    for row in table.rows:
        if row.gaps:
            continue
        score = {
            task: (found[row.model, row.revision, task, "x"] + found[row.model, row.revision, task, "y"])
            / 2
            for task in TASKS
        }
        by_type = {kind: [score[task] for task in TASKS if TASKS[task] == kind] for kind in "ABC"}
        assert row.values[names.index("Average")] == pytest.approx(np.mean(list(score.values())))
        means = [np.mean(own) for own in by_type.values()]
        assert list(row.values[:3]) == pytest.approx(means)
        assert row.values[names.index("AverageOfTypes")] == pytest.approx(np.mean(means))


@law
@given(records_of_models, st.integers(0, 2**32))
def test_no_order_of_records_changes_the_bytes(
    found: dict[tuple[str, str, str, str], float], seed: int
) -> None:
    records = _records(found)
    shuffled = random.Random(seed).sample(records, len(records))
    assert render_csv(sheet_of(_table(shuffled))) == render_csv(sheet_of(_table(records)))


@law
@given(records_of_models)
def test_no_row_depends_on_the_others(found: dict[tuple[str, str, str, str], float]) -> None:
    whole = _table(_records(found))
    for row in whole.rows:
        own = {key: value for key, value in found.items() if key[:2] == (row.model, row.revision)}
        (alone,) = _table(_records(own)).rows
        assert alone == row


@given(st.lists(values, min_size=1), st.integers(0, 2**32))
def test_no_order_of_tasks_moves_a_mean(numbers: list[float], seed: int) -> None:
    shuffled = random.Random(seed).sample(numbers, len(numbers))
    assert mean(shuffled) == mean(numbers)
    exact = sum((Fraction(number) for number in numbers), Fraction(0)) / len(numbers)
    assert mean(numbers) == pytest.approx(float(exact), rel=1e-15, abs=1e-300)


@given(st.floats(0, 1), st.integers(0, 2**32))
def test_rounding_is_to_the_nearest_and_half_to_even(value: float, seed: int) -> None:
    shown = round_scaled(value)
    exact = 100 * Decimal(repr(value))
    assert abs(shown - exact) <= Decimal("0.005")
    half = Decimal(seed % 10_000) / 100 + Decimal("0.005")
    rounded = round_scaled(float(half / 100))
    assert abs(rounded - half) == Decimal("0.005")
    assert int(rounded * 100) % 2 == 0


grids = st.integers(1, 6).flatmap(
    lambda width: st.lists(
        st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, math.nan]), min_size=width, max_size=width),
        min_size=1,
        max_size=7,
    )
)


@given(grids)
def test_borda_ranks_are_those_of_counting_rows_behind(grid: list[list[float]]) -> None:
    ranks = borda_ranks(np.array(grid))
    whole = [row for row in grid if not any(math.isnan(value) for value in row)]
    points = {
        index: sum(
            Fraction(sum(other[task] < row[task] for other in whole))
            + Fraction(sum(other[task] == row[task] for other in whole) - 1, 2)
            for task in range(len(row))
        )
        for index, row in enumerate(grid)
        if row in whole
    }
    for index, rank in enumerate(ranks):
        expected = None
        if index in points:
            expected = 1 + sum(point > points[index] for point in points.values())
        assert rank == expected


@law
@given(records_of_models, st.integers(2, 4))
def test_seeds_make_one_row_of_means(
    found: dict[tuple[str, str, str, str], float], num_seeds: int
) -> None:
    plain = _records({key: value for key, value in found.items() if key[1] == "r"})
    seeded = [
        structs.replace(one, seed=seed, revision=f"r{seed}", value=(one.value or 0) / 2 + seed / 100)
        for one in plain
        for seed in range(num_seeds)
    ]
    shift = sum(range(num_seeds)) / num_seeds / 100
    for one, two in zip(_table(plain).rows, _table(seeded).rows, strict=True):
        assert (two.model, two.revision, two.coverage) == (one.model, "", one.coverage)
        for single, several in zip(one.values, two.values, strict=True):
            assert (single is None) == (several is None)
            if single is not None:
                assert several == pytest.approx(single / 2 + shift)


def test_a_seed_that_lacks_a_task_blanks_it() -> None:
    records = [
        structs.replace(BASE, task=task, subset=subset, seed=seed, revision="r")
        for task in TASKS
        for subset in "xy"
        for seed in (0, 1)
        if (task, subset, seed) != ("B1", "y", 1)
    ]
    (row,) = _table(records).rows
    assert row.revision == "r"
    (gap,) = row.gaps
    assert (gap.task, gap.state) == ("B1", "missing")
    assert "seeds 0, 1" in gap.reason
