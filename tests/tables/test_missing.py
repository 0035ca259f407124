"""What a table does with what is not there, and with what it cannot use."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from harness.errors import RecordError
from harness.records.schema import Record, State
from harness.records.summary import StudySummary
from harness.tables.build import build_table
from harness.tables.shape import shape
from harness.tables.table import Table
from tests.tables.fake_study import BM25_REASON, label
from tests.tables.lookup import BASELINE, BEST, cell_of, row_of, without


def test_what_does_not_apply_is_blank_and_takes_the_mean_with_it(table: Table) -> None:
    cell = cell_of(table, "BM25", "news/BBCTopicClassification")
    assert (cell.state, cell.value, cell.display) == ("not_applicable", None, "")
    assert cell.reason == BM25_REASON
    assert cell_of(table, "BM25", "news/mean").value is None
    assert cell_of(table, "BM25", "news/mean").state == "incomplete"
    assert row_of(table, "BM25").coverage == "2/4"
    assert any(BM25_REASON in note and "BM25" in note for note in table.notes)


def test_a_missing_task_says_so_with_the_command_and_leaves_no_mean(
    summary: StudySummary, records: list[Record]
) -> None:
    table = build_table(summary, without(records, slug="on-paragraphs-s0", task="BBCTopicClustering"))
    cell = cell_of(table, BEST, "news/BBCTopicClustering")
    assert (cell.state, cell.text) == ("missing", "missing")
    assert "harness run reconstruction-news" in cell.reason
    assert cell.notes
    assert any(one.mark in cell.notes and cell.reason in one.text for one in table.footnotes)
    assert cell_of(table, BEST, "news/mean").value is None
    assert cell_of(table, BEST, "news/mean:delta").value is None
    assert row_of(table, BEST).coverage == "3/4"


def test_a_failed_task_shows_its_own_reason(summary: StudySummary, records: list[Record]) -> None:
    broken = [
        structs.replace(one, value=None, state="failed", reason="out of memory: harness run x.yaml")
        if one.variant == "on-paragraphs-s0" and one.task == "bbc-headlines"
        else one
        for one in records
    ]
    cell = cell_of(build_table(summary, broken), BEST, "news-beir/bbc-headlines")
    assert (cell.state, cell.text) == ("failed", "failed")
    assert cell.reason == "out of memory: harness run x.yaml"


def test_a_row_that_lacks_a_seed_is_partial_and_takes_no_rank(
    summary: StudySummary, records: list[Record]
) -> None:
    fewer = without(records, slug="on-headlines-s1", task="BBCHeadlineRetrieval")
    table = build_table(summary, fewer)
    cell = cell_of(table, label("on", "headlines"), "news/BBCHeadlineRetrieval")
    assert cell.state == "partial"
    assert cell.value is not None
    assert "1 of 2 seeds" in cell.reason
    assert cell.standing == ""
    assert cell.delta is None
    assert cell_of(table, label("on", "headlines"), "news/mean").value is None


def test_a_subset_that_only_other_rows_have_makes_a_task_incomplete(
    summary: StudySummary, records: list[Record]
) -> None:
    more = [
        *records,
        *(
            structs.replace(one, subset="second")
            for one in records
            if one.task == "BBCTopicClustering" and one.variant != "untrained" and one.state == "ok"
        ),
    ]
    cell = cell_of(build_table(summary, more), "untrained", "news/BBCTopicClustering")
    assert cell.state == "missing"
    assert "1 of 2 splits and subsets" in cell.reason


@pytest.mark.parametrize("state", ["missing", "failed"])
def test_a_subset_that_all_rows_lack_leaves_no_mean(
    summary: StudySummary, records: list[Record], state: State
) -> None:
    lacking = [
        *records,
        *(
            structs.replace(one, subset="second", value=None, state=state, reason="no such subset")
            for one in records
            if one.task == "BBCTopicClustering" and one.state == "ok"
        ),
    ]
    cell = cell_of(build_table(summary, lacking), BEST, "news/BBCTopicClustering")
    assert (cell.state, cell.value, cell.reason) == (state, None, "no such subset")
    shaped = shape(summary, lacking, columns="task", suite="news")
    (line,) = [row.cells for row in shaped.rows if row.label == BEST]
    shown = {one.task: cell for one, cell in zip(shaped.columns, line, strict=True)}
    assert shown["BBCTopicClustering"].value is None
    assert shown["BBCTopicClassification"].value is not None


def test_scores_of_another_revision_are_not_shown(summary: StudySummary, records: list[Record]) -> None:
    stale = [
        structs.replace(one, revision="old") if one.variant == "on-paragraphs-s0" else one
        for one in records
    ]
    cell = cell_of(build_table(summary, stale), BEST, "news/BBCTopicClustering")
    assert cell.state == "missing"
    assert "another revision" in cell.reason


def test_records_of_no_row_and_side_metrics_are_left_alone(
    summary: StudySummary, records: list[Record], table: Table
) -> None:
    extra = [structs.replace(records[0], variant="stranger", value=0.99)]
    assert build_table(summary, [*records, *extra]) == table


def test_two_main_metrics_for_one_task_are_refused(summary: StudySummary, records: list[Record]) -> None:
    other = structs.replace(
        records[0], variant="on-paragraphs-s0", seed=0, metric="map_at_10", revision=""
    )
    with pytest.raises(RecordError, match="two main metrics: ndcg_at_10 and map_at_10"):
        build_table(summary, [*records, other])


def test_a_baseline_that_is_no_row_is_refused_with_the_closest_one(summary: StudySummary) -> None:
    with pytest.raises(RecordError, match="Did you mean"):
        build_table(replace(summary, baseline=BASELINE.upper()), [])


def test_two_rows_of_one_label_are_refused(summary: StudySummary) -> None:
    with pytest.raises(RecordError, match="two rows are labelled"):
        build_table(replace(summary, rows=(*summary.rows, summary.rows[0])), [])


def test_a_seed_listed_twice_is_refused(summary: StudySummary) -> None:
    twice = replace(summary.rows[0], members=summary.rows[0].members * 2)
    with pytest.raises(RecordError, match="lists a seed twice"):
        build_table(replace(summary, rows=(twice, *summary.rows[1:])), [])


def test_without_any_record_every_cell_is_missing(summary: StudySummary) -> None:
    table = build_table(summary, [])
    tasks = [index for index, column in enumerate(table.columns) if column.kind == "task"]
    assert all(row.cells[index].state == "missing" for row in table.rows for index in tasks)
    assert {row.coverage for row in table.rows} == {"0/4"}
