from __future__ import annotations

import statistics
from dataclasses import replace

import numpy as np
import pytest
from msgspec import structs

from harness.records.schema import Record
from harness.records.summary import Member, RowSummary, StudySummary
from harness.tables.build import build_table
from harness.tables.table import Table
from tests.tables.fake_study import NEWS, label
from tests.tables.lookup import BASELINE, BEST, cell_of, row_of, value_of


def test_columns_are_tasks_then_the_suite_mean_and_its_difference(table: Table) -> None:
    assert [column.key for column in table.columns] == [
        *(f"news/{task}" for task in NEWS),
        "news/mean",
        "news/mean:delta",
        "news-beir/bbc-headlines",
    ]
    assert table.primary == 3


def test_rows_are_variants_in_the_studys_order_then_references(
    summary: StudySummary, table: Table
) -> None:
    assert [row.label for row in table.rows] == [row.label for row in summary.rows]
    first = replace(summary, rows=(*summary.rows[-2:], *summary.rows[:-2]))
    assert [row.label for row in build_table(first, []).rows] == [row.label for row in summary.rows]


def test_a_cell_is_the_mean_over_seeds_with_their_sample_deviation(
    table: Table, records: list[Record]
) -> None:
    values = [value_of(records, f"off-headlines-s{seed}", "BBCTopicClustering") for seed in (0, 1)]
    cell = cell_of(table, BASELINE, "news/BBCTopicClustering")
    assert cell.value == pytest.approx(np.mean(values))
    assert cell.spread == pytest.approx(np.std(values, ddof=1))
    assert cell.text == f"{100 * np.mean(values):.2f}"
    assert [one.seed for one in cell.per_seed] == [0, 1]


def test_one_seed_has_no_deviation(table: Table) -> None:
    cell = cell_of(table, BEST, "news/BBCTopicClustering")
    assert cell.spread is None
    assert "±" not in cell.display


def test_the_mean_is_taken_over_tasks_for_each_seed(table: Table, records: list[Record]) -> None:
    by_seed = [
        statistics.fmean(value_of(records, f"off-headlines-s{seed}", task) for task in NEWS)
        for seed in (0, 1)
    ]
    cell = cell_of(table, BASELINE, "news/mean")
    assert [one.value for one in cell.per_seed] == by_seed
    assert cell.spread == pytest.approx(np.std(by_seed, ddof=1))


def test_a_difference_is_taken_seed_by_seed_over_the_shared_seeds(
    table: Table, records: list[Record]
) -> None:
    delta = cell_of(table, BEST, "news/BBCTopicClustering").delta
    assert delta is not None
    assert delta.seeds == (0,)
    task = "BBCTopicClustering"
    expected = value_of(records, "on-paragraphs-s0", task) - value_of(records, "off-headlines-s0", task)
    assert delta.value == pytest.approx(expected)
    assert delta.spread is None


def test_two_shared_seeds_give_a_difference_its_spread(table: Table, records: list[Record]) -> None:
    delta = cell_of(table, label("on", "headlines"), "news/BBCTopicClustering").delta
    assert delta is not None
    task = "BBCTopicClustering"
    pairs = [
        value_of(records, f"on-headlines-s{seed}", task)
        - value_of(records, f"off-headlines-s{seed}", task)
        for seed in (0, 1)
    ]
    assert delta.spread == pytest.approx(np.std(pairs, ddof=1))


def test_rows_without_a_shared_seed_differ_by_their_means(table: Table) -> None:
    base = cell_of(table, BASELINE, "news/mean").value
    cell = cell_of(table, "untrained", "news/mean")
    assert base is not None
    assert cell.value is not None
    assert cell.delta is not None
    assert cell.delta.seeds == ()
    assert cell.delta.value == pytest.approx(cell.value - base)


def test_the_baseline_has_no_difference_from_itself(table: Table) -> None:
    assert cell_of(table, BASELINE, "news/mean:delta").state == "baseline"
    assert all(cell.delta is None for cell in row_of(table, BASELINE).cells)


def test_a_task_is_the_mean_over_its_subsets(summary: StudySummary, records: list[Record]) -> None:
    task = "BBCTopicClustering"
    more = [
        *records,
        *(
            structs.replace(one, subset="second", value=(one.value or 0) + 0.1)
            for one in records
            if one.task == task and one.state == "ok"
        ),
    ]
    before = cell_of(build_table(summary, records), BASELINE, f"news/{task}").value
    after = cell_of(build_table(summary, more), BASELINE, f"news/{task}").value
    assert before is not None
    assert after == pytest.approx(before + 0.05)


def test_best_and_second_are_marked_among_variants_only(table: Table) -> None:
    for index, column in enumerate(table.columns):
        standings = {row.label: row.cells[index].standing for row in table.rows}
        assert standings["untrained"] == standings["BM25"] == ""
        if column.kind == "delta":
            assert set(standings.values()) == {""}
            continue
        shown = {row.label: float(row.cells[index].text) for row in table.rows if row.role == "variant"}
        ranked = sorted(shown, key=lambda name: -shown[name])
        assert standings[ranked[0]] == "best"
        assert standings[ranked[1]] == "second"


def test_values_that_show_the_same_share_a_place(summary: StudySummary, records: list[Record]) -> None:
    flat = [
        structs.replace(one, value=0.5 + (0.1 if one.variant.startswith("on") else 0.0))
        if one.state == "ok"
        else one
        for one in records
    ]
    table = build_table(summary, flat)
    standings = [row.cells[0].standing for row in table.rows if row.role == "variant"]
    assert standings == ["second", "second", "best", "best"]


def test_lower_is_better_turns_the_ranking_around(summary: StudySummary, records: list[Record]) -> None:
    turned = [structs.replace(one, higher_is_better=False) for one in records]
    before = build_table(summary, records)
    after = build_table(summary, turned)
    best = next(row.label for row in before.rows if row.cells[0].standing == "best")
    assert row_of(after, best).cells[0].standing == ""


def test_a_metric_outside_of_minus_one_to_one_is_shown_as_it_is(
    summary: StudySummary, records: list[Record]
) -> None:
    large = [
        structs.replace(one, value=1000 * one.value)
        if one.task == "BBCTopicClustering" and one.value
        else one
        for one in records
    ]
    table = build_table(summary, large)
    scales = {column.key: column.scale for column in table.columns}
    assert scales["news/BBCTopicClustering"] == 1
    assert scales["news/BBCHeadlineRetrieval"] == 100
    assert "news/mean" not in scales
    assert any("except for BBCTopicClustering" in note for note in table.notes)


def test_without_a_baseline_there_are_no_differences(
    summary: StudySummary, records: list[Record]
) -> None:
    table = build_table(replace(summary, baseline=None), records)
    assert not any(column.kind == "delta" for column in table.columns)
    assert all(cell.delta is None for row in table.rows for cell in row.cells)


def test_a_single_task_takes_the_place_of_the_mean(summary: StudySummary, records: list[Record]) -> None:
    table = build_table(replace(summary, suites=summary.suites[1:]), records)
    assert [column.key for column in table.columns] == [
        "news-beir/bbc-headlines",
        "news-beir/bbc-headlines:delta",
    ]
    assert table.primary == 0


def test_seeds_get_a_column_only_where_their_number_differs(
    summary: StudySummary, records: list[Record], table: Table
) -> None:
    assert table.has_seeds
    even = replace(
        summary,
        rows=tuple(
            row if row.role == "reference" else replace(row, members=row.members[:1])
            for row in summary.rows
        ),
    )
    single = build_table(even, records)
    assert not single.has_seeds
    assert any("One seed a variant (0)" in note for note in single.notes)


def test_a_row_may_have_no_seed_in_common_with_the_baseline(
    summary: StudySummary, records: list[Record]
) -> None:
    moved = RowSummary(
        label="elsewhere",
        levels={},
        members=(Member(slug="off-paragraphs-s0", revision="", seed=7),),
    )
    shifted = [structs.replace(one, seed=7) for one in records if one.variant == "off-paragraphs-s0"]
    table = build_table(replace(summary, rows=(*summary.rows, moved)), [*records, *shifted])
    marks = {one.mark: one.text for one in table.footnotes}
    assert any("Shares no seed" in marks[mark] for mark in row_of(table, "elsewhere").notes)
