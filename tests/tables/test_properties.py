from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from harness.records.schema import Record
from harness.tables.build import build_table
from harness.tables.table import Table
from tests.tables.fake_study import make_records, make_summary

SUMMARY = make_summary()
RECORDS = make_records()

studies = st.builds(
    lambda values, kept: [
        structs.replace(one, value=value) if one.state == "ok" else one
        for one, value, keep in zip(RECORDS, values, kept, strict=True)
        if keep
    ],
    st.lists(st.floats(0, 1), min_size=len(RECORDS), max_size=len(RECORDS)),
    # Most are kept, so that some rows stay whole.
    st.lists(st.sampled_from([True] * 9 + [False]), min_size=len(RECORDS), max_size=len(RECORDS)),
)
quick = settings(max_examples=40, deadline=None)


def build(records: list[Record]) -> Table:
    return build_table(SUMMARY, records)


@quick
@given(studies, st.integers(0, 2**32))
def test_order_of_records_never_changes_the_table(records: list[Record], seed: int) -> None:
    shuffled = list(records)
    random.Random(seed).shuffle(shuffled)
    assert build(shuffled) == build(records)
    assert build(records + shuffled) == build(records)


@quick
@given(studies)
def test_coverage_counts_the_whole_cells(records: list[Record]) -> None:
    for row in build(records).rows:
        table = build(records)
        tasks = [
            cell for cell, column in zip(row.cells, table.columns, strict=True) if column.kind == "task"
        ]
        assert row.num_complete == sum(cell.state == "ok" for cell in tasks)
        assert row.num_tasks == len(tasks) == 4


@quick
@given(studies)
def test_a_mean_is_there_exactly_when_its_tasks_are(records: list[Record]) -> None:
    table = build(records)
    mean = [column.key for column in table.columns].index("news/mean")
    for row in table.rows:
        tasks = row.cells[:mean]
        whole = all(cell.state == "ok" for cell in tasks)
        assert (row.cells[mean].value is not None) == whole
        if whole:
            values = [cell.value or 0.0 for cell in tasks]
            assert min(values) - 1e-12 <= (row.cells[mean].value or 0.0) <= max(values) + 1e-12


@quick
@given(studies)
def test_every_cell_has_a_value_or_a_reason(records: list[Record]) -> None:
    table = build(records)
    marks = {one.mark for one in table.footnotes}
    for row in table.rows:
        assert len(row.cells) == len(table.columns)
        for cell in row.cells:
            assert (cell.value is None) or cell.text
            assert cell.state == "ok" or cell.reason
            assert set(cell.notes) <= marks


@quick
@given(studies)
def test_the_difference_of_means_is_the_mean_of_differences(records: list[Record]) -> None:
    table = build(records)
    mean = [column.key for column in table.columns].index("news/mean")
    for row in table.rows:
        total = row.cells[mean].delta
        if total is not None:
            parts = [cell.delta.value for cell in row.cells[:mean] if cell.delta is not None]
            assert len(parts) == mean
            assert abs(total.value - sum(parts) / len(parts)) < 1e-12
