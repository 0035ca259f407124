from __future__ import annotations

import pytest
from msgspec import structs

from harness.records.schema import Record
from harness.records.summary import StudySummary
from harness.tables.build import build_table
from harness.tables.table import Table
from harness.tables.views import delta_table
from tests.tables.fake_study import VERSIONS, label
from tests.tables.lookup import row_of


def changed(records: list[Record], slug: str, **fields: object) -> list[Record]:
    return [structs.replace(one, **fields) if one.variant == slug else one for one in records]


def test_rows_measured_alike_are_not_marked(table: Table) -> None:
    assert all(row.unlike == "" for row in table.rows)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"evaluator": "mteb 2.25.0"}, "evaluator mteb 2.25.0 against"),
        ({"dataset_revision": "bbc2"}, "dataset revision bbc2 against bbc1 (all tasks)"),
        ({"prompt_hash": "ab12"}, "prompts ab12 against none (all tasks)"),
        (
            {"versions": {**VERSIONS, "torch": "2.13.1"}},
            "torch version 2.13.1 against 2.14.0 (all tasks)",
        ),
        ({"versions": {}}, "package versions not recorded (all tasks)"),
        ({"num_queries": 399}, "queries 399 against 400 (all tasks)"),
    ],
)
def test_a_row_measured_otherwise_is_marked_with_the_field(
    summary: StudySummary, records: list[Record], fields: dict[str, object], expected: str
) -> None:
    table = build_table(summary, changed(records, "off-paragraphs-s0", **fields))
    row = row_of(table, label("off", "paragraphs"))
    assert expected in row.unlike
    texts = {one.mark: one.text for one in table.footnotes}
    assert row.unlike in [texts[mark] for mark in row.notes]
    assert all(other.unlike == "" for other in table.rows if other is not row)


def test_only_the_task_that_differs_is_named(summary: StudySummary, records: list[Record]) -> None:
    some = [
        structs.replace(one, dataset_revision="bbc2")
        if one.variant == "untrained" and one.task == "BBCTopicClustering"
        else one
        for one in records
    ]
    assert "(news/BBCTopicClustering)" in row_of(build_table(summary, some), "untrained").unlike


def test_seeds_of_one_row_that_differ_are_marked_on_the_baseline_too(
    summary: StudySummary, records: list[Record]
) -> None:
    table = build_table(summary, changed(records, "off-headlines-s1", prompt_hash="ab12"))
    assert (
        "prompts not the same for all seeds (ab12 and none)"
        in row_of(table, label("off", "headlines")).unlike
    )


def test_a_line_without_a_model_has_no_prompts_to_differ_in(
    summary: StudySummary, records: list[Record]
) -> None:
    prompted = [
        structs.replace(one, prompt_hash="ab12") if one.variant != "bm25" else one for one in records
    ]
    assert row_of(build_table(summary, prompted), "BM25").unlike == ""


def test_the_table_of_differences_keeps_the_mark(summary: StudySummary, records: list[Record]) -> None:
    deltas = delta_table(build_table(summary, changed(records, "untrained", dataset_revision="bbc2")))
    assert deltas is not None
    row = row_of(deltas, "untrained")
    texts = {one.mark: one.text for one in deltas.footnotes}
    assert any("bbc2" in texts[mark] for mark in row.notes)
