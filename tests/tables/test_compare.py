"""Two rows side by side: pairing, marks, wins, and the fields that differ."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from harness.records.schema import Record
from harness.records.summary import StudySummary
from harness.report.comparison import FORMS, render_comparison
from harness.tables.compare import Comparison, compare
from harness.tables.queries import read_queries
from harness.tables.sides import find_row, side_of, summarise_folder
from tests.tables.fake_study import NEWS, label
from tests.tables.lookup import value_of
from tests.tables.per_query import write_per_query

OFF, ON = label("off", "headlines"), label("on", "headlines")


def _compare(
    summary: StudySummary,
    records: list[Record],
    first: str = OFF,
    second: str = ON,
    *,
    folder: Path | None = None,
    seeds: tuple[int | None, int | None] = (None, None),
) -> Comparison:
    sides = []
    for name, seed in zip((first, second), seeds, strict=True):
        row = find_row(summary, name, seed=seed)
        assert row is not None
        sides.append(side_of(summary, records, row))
    # The same study is both sides' source.
    queries = None if folder is None else read_queries(folder)
    return compare(sides[0], sides[1], queries=queries)


def test_tasks_are_paired_by_seed(summary: StudySummary, records: list[Record]) -> None:
    found = _compare(summary, records)
    assert found.seeds == (0, 1)
    assert [one.task for one in found.tasks] == [*NEWS, "bbc-headlines"]
    for one in found.tasks[:3]:
        pairs = [
            value_of(records, f"on-headlines-s{seed}", one.task)
            - value_of(records, f"off-headlines-s{seed}", one.task)
            for seed in (0, 1)
        ]
        assert one.difference == pytest.approx(sum(pairs) / 2)
        assert one.inference is not None
        assert one.inference.level == "seeds"
        assert one.inference.adjusted is not None


def test_queries_are_a_level_beside_seeds(
    summary: StudySummary, records: list[Record], tmp_path: Path
) -> None:
    write_per_query(records, tmp_path)
    both = _compare(summary, records, folder=tmp_path).tasks[0].inference
    single = _compare(summary, records, folder=tmp_path, seeds=(0, 0)).tasks[0].inference
    fixed = _compare(summary, records, "untrained", ON, folder=tmp_path).tasks[0].inference
    assert both is not None
    assert single is not None
    assert fixed is not None
    assert (both.level, single.level, fixed.level) == (
        "seeds and queries",
        "queries",
        "seeds and queries",
    )
    assert (both.num_seeds, single.num_seeds, fixed.num_seeds) == (2, 0, 2)


def test_turning_the_sides_turns_the_signs(summary: StudySummary, records: list[Record]) -> None:
    straight, turned = _compare(summary, records), _compare(summary, records, ON, OFF)
    for one, other in zip(straight.tasks, turned.tasks, strict=True):
        assert one.difference == pytest.approx(-(other.difference or 0))
        assert one.inference is not None
        assert other.inference is not None
        assert one.inference.p_value == pytest.approx(other.inference.p_value)
    assert (straight.overall.wins, straight.overall.losses) == (4, 0)
    assert (turned.overall.wins, turned.overall.losses) == (0, 4)


def test_where_lower_is_better_a_fall_is_a_win(summary: StudySummary, records: list[Record]) -> None:
    lower = [structs.replace(one, higher_is_better=False) for one in records]
    assert _compare(summary, lower).overall.losses == 4


def test_a_row_with_itself_ties_everywhere(summary: StudySummary, records: list[Record]) -> None:
    found = _compare(summary, records, OFF, OFF)
    assert (found.overall.ties, found.overall.num_tasks) == (4, 4)
    assert found.fields == ()


def test_a_task_that_one_side_lacks_says_why_and_counts_for_nobody(
    summary: StudySummary, records: list[Record]
) -> None:
    found = _compare(summary, records, "BM25", ON)
    classification = next(one for one in found.tasks if one.task == "BBCTopicClassification")
    assert classification.difference is None
    assert classification.reason.startswith("BM25: BM25 ranks documents")
    assert found.overall.num_tasks == 2


def test_another_metric_is_never_subtracted(summary: StudySummary, records: list[Record]) -> None:
    theirs = [
        structs.replace(
            one, variant="published", seed=None, revision="", metric="map_at_10", suite="paper"
        )
        for one in records
        if one.variant == "on-headlines-s0" and one.task == "BBCHeadlineRetrieval" and one.is_main
    ]
    other = summarise_folder("paper", theirs)
    row, ours = find_row(other, "published"), find_row(summary, OFF)
    assert row is not None
    assert ours is not None
    found = compare(side_of(summary, records, ours), side_of(other, theirs, row))
    one = next(task for task in found.tasks if task.task == "BBCHeadlineRetrieval")
    assert one.difference is None
    assert one.reason == "measured with map_at_10 and ndcg_at_10"
    assert found.unknown == (OFF, "published")


def test_what_was_measured_otherwise_is_named(summary: StudySummary, records: list[Record]) -> None:
    moved = [
        structs.replace(one, prompt_hash="p2") if one.variant.startswith("on-headlines") else one
        for one in records
    ]
    assert _compare(summary, moved).tasks[0].unlike == ("prompts p2 against none",)


def test_fields_are_those_of_the_resolved_configurations(
    summary: StudySummary, records: list[Record]
) -> None:
    own = {OFF: {"contrast.temperature": "0.02"}, ON: {"contrast.temperature": "0.05", "extra.a": "1"}}
    rows = tuple(replace(row, config=own.get(row.label, {})) for row in summary.rows)
    told = replace(summary, rows=rows, config={"base.layers": "6"})
    found = _compare(told, records)
    assert [(one.field, one.first, one.second) for one in found.fields] == [
        ("contrast.temperature", "0.02", "0.05"),
        ("extra.a", None, "1"),
    ]
    text = render_comparison(found, "md")
    assert "contrast.temperature: 0.02 → 0.05" in text
    assert "absent → 1" in text


@pytest.mark.parametrize("form", FORMS)
def test_every_format_has_every_task_and_the_same_bytes_twice(
    summary: StudySummary, records: list[Record], form: str
) -> None:
    found = _compare(summary, records)
    text = render_comparison(found, form)
    assert text == render_comparison(_compare(summary, list(reversed(records))), form)
    assert all(task in text.replace("<wbr>", "") for task in NEWS)
    if form == "json":
        assert json.loads(text)["overall"]["wins"] == 4


def test_a_row_is_found_by_label_slug_and_seed(summary: StudySummary) -> None:
    by_label = find_row(summary, "Reconstruction=on,pairs=headlines")
    assert by_label is not None
    assert len(by_label.members) == 2
    by_slug = find_row(summary, "on-headlines-s1")
    assert by_slug is not None
    assert [member.seed for member in by_slug.members] == [1]
    by_seed = find_row(summary, ON, seed=0)
    assert by_seed is not None
    assert [member.slug for member in by_seed.members] == ["on-headlines-s0"]
    assert find_row(summary, ON, seed=7) is None
    assert find_row(summary, "nothing") is None


def test_plain_records_have_a_row_a_model_and_revision(records: list[Record]) -> None:
    one = next(record for record in records if record.is_main)
    found = summarise_folder(
        "paper", [one, structs.replace(one, revision="other"), structs.replace(one, variant="m")]
    )
    assert [row.label for row in found.rows] == [
        f"{one.variant}@{one.revision}",
        f"{one.variant}@other",
        "m",
    ]
