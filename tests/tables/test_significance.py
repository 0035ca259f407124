"""Marks in tables: what was tested, over what, and in which family."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs
from scipy import stats

from harness.records.schema import Record
from harness.records.summary import StudySummary
from harness.tables.build import build_table
from harness.tables.effects import main_effects
from harness.tables.queries import QueryScores, read_queries
from harness.tables.table import Table
from harness.tables.views import DETECTABLE, delta_table
from tests.tables.fake_study import label
from tests.tables.lookup import BEST, cell_of
from tests.tables.per_query import write_per_query

RETRIEVAL = "news/BBCHeadlineRetrieval"
ON = label("on", "headlines")


@pytest.fixture(scope="module")
def queries(records: list[Record], tmp_path_factory: pytest.TempPathFactory) -> QueryScores:
    folder = tmp_path_factory.mktemp("queries")
    write_per_query(records, folder)
    found = read_queries(folder)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def tested(summary: StudySummary, records: list[Record], queries: QueryScores) -> Table:
    return build_table(summary, records, queries=queries)


def test_two_seeds_with_queries_are_tested_on_both_levels(tested: Table) -> None:
    cell = cell_of(tested, ON, RETRIEVAL)
    assert cell.inference is not None
    assert cell.delta is not None
    assert (cell.inference.level, cell.inference.num_seeds) == ("seeds and queries", 2)
    assert cell.inference.num_units == 40
    assert cell.inference.value == pytest.approx(cell.delta.value, abs=1e-6)


def test_one_seed_is_tested_over_queries_alone_and_marked_so(tested: Table) -> None:
    cell = cell_of(tested, BEST, RETRIEVAL)
    assert cell.inference is not None
    assert cell.inference.level == "queries"
    assert cell.mark == "†"
    assert cell.inference.low < cell.inference.value < cell.inference.high


def test_without_queries_seeds_are_tested_alone_like_scipy(tested: Table, table: Table) -> None:
    cell = cell_of(tested, ON, "news/BBCTopicClustering")
    base = cell_of(tested, label("off", "headlines"), "news/BBCTopicClustering")
    assert cell.inference is not None
    assert cell.inference.level == "seeds"
    theirs = stats.ttest_rel([v.value for v in cell.per_seed], [v.value for v in base.per_seed])
    assert cell.inference.p_value == pytest.approx(theirs.pvalue)
    assert cell_of(table, BEST, RETRIEVAL).inference is None


def test_references_and_the_baseline_are_not_tested(tested: Table) -> None:
    for row in tested.rows:
        if row.role == "reference" or row.is_baseline:
            assert all(cell.inference is None and cell.mark == "" for cell in row.cells)


def test_the_family_is_the_whole_table(tested: Table) -> None:
    kept = [
        cell.inference
        for row in tested.rows
        for cell, column in zip(row.cells, tested.columns, strict=True)
        if cell.inference is not None and column.kind != "delta"
    ]
    assert any(f"over all {len(kept)} comparisons" in note for note in tested.notes)
    smallest = min(kept, key=lambda one: one.p_value)
    assert smallest.adjusted == pytest.approx(min(1, len(kept) * smallest.p_value))
    assert all((one.adjusted or 0) >= one.p_value for one in kept)


def test_differences_show_their_interval_and_the_smallest_detectable_one(tested: Table) -> None:
    deltas = delta_table(tested)
    assert deltas is not None
    cell = cell_of(deltas, BEST, RETRIEVAL)
    assert cell.display.startswith("+")
    assert "† (+" in cell.display
    assert cell_of(deltas, DETECTABLE, RETRIEVAL).value is not None
    assert cell_of(deltas, ON, "news/mean").mark == "n.s."


def test_effects_take_their_noise_from_paired_queries(
    summary: StudySummary, tested: Table, table: Table
) -> None:
    index = [column.key for column in tested.columns].index(RETRIEVAL)
    paired = main_effects(tested, index, factors=dict(summary.factors))[0]
    rough = main_effects(table, index, factors=dict(summary.factors))[0]
    assert (paired.query_basis, rough.query_basis) == ("paired scores", "bound")
    assert paired.query_error is not None
    assert rough.query_error is not None
    # The queries' own difficulty, which all rows share, is no noise of a difference.
    assert paired.query_error < 0.2 * rough.query_error
    mean = [column.key for column in tested.columns].index("news/mean")
    assert main_effects(tested, mean, factors=dict(summary.factors))[0].query_basis == "both"


def test_rows_with_other_queries_are_not_paired(
    summary: StudySummary, records: list[Record], tmp_path: Path
) -> None:
    moved = [
        structs.replace(one, split="dev") if one.variant.startswith("on-par") else one for one in records
    ]
    write_per_query(moved, tmp_path)
    table = build_table(summary, records, queries=read_queries(tmp_path))
    assert cell_of(table, BEST, RETRIEVAL).inference is None


def test_subsets_count_once_each_whatever_their_size(records: list[Record], tmp_path: Path) -> None:
    import pyarrow as pa

    from harness.records.summary import Member

    lines = {
        "variant": ["m"] * 5,
        "seed": pa.array([None] * 5, pa.int64()),
        "suite": ["s"] * 5,
        "task": ["T"] * 5,
        "split": ["test"] * 5,
        "subset": ["big"] * 4 + ["small"],
        "unit": ["query"] * 5,
        "metric": ["x"] * 5,
        "query_id": ["a", "b", "c", "d", "a"],
        "value": [0.0, 0.2, 0.4, 0.2, 1.0],
    }
    words = {
        name: pa.array(values).dictionary_encode()
        for name, values in lines.items()
        if name not in {"seed", "value"}
    }
    scores = QueryScores([(0, pa.table({**lines, **words}))])
    found = scores.find(Member(slug="m", revision="", seed=None), suite="s", task="T", metric="x")
    assert found is not None
    assert np.mean(found.values) == pytest.approx((0.2 + 1.0) / 2)


def test_quantities_that_follow_from_a_factor_are_named(
    summary: StudySummary, records: list[Record]
) -> None:
    rows = tuple(
        replace(row, derived={"negatives a query": "31" if "paragraphs" in row.label else "15"})
        for row in summary.rows
    )
    table = build_table(replace(summary, rows=rows), records)
    texts = [one.text for one in table.footnotes]
    assert "Differs from the baseline in what follows too: negatives a query 31 against 15." in texts
    marked = [
        row.label
        for row in table.rows
        if set(row.notes) & {str(texts.index(t) + 1) for t in texts if "negatives" in t}
    ]
    assert marked == [label("off", "paragraphs"), label("on", "paragraphs")]
    assert all(not row.unlike for row in table.rows)
