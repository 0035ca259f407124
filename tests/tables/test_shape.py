"""Tables of any shape: what a cell is a mean over, and what it refuses to be."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from harness.errors import RecordError
from harness.records.schema import Record
from harness.records.store import write_records
from harness.records.summary import Member, RowSummary, StudySummary, SuiteSummary, write_summary
from harness.tables import build_table, frame, shape
from harness.tables.table import Table
from tests.tables.lookup import cell_of, row_of

LEVELS: dict[str, tuple[str, ...]] = {"a": ("x", "y"), "b": ("p", "q")}
TASKS = {"T1": "STS", "T2": "STS", "T3": "Retrieval"}
LANGUAGES = {"one": ("eng-Latn",), "two": ("deu-Latn",), "both": ("eng-Latn", "deu-Latn")}


def _summary() -> StudySummary:
    rows = tuple(
        RowSummary(
            label=f"a={a}, b={b}",
            levels={"a": a, "b": b},
            members=tuple(Member(slug=f"{a}{b}{s}", revision=f"r{a}{b}{s}", seed=s) for s in (1, 2)),
        )
        for a, b in itertools.product(*LEVELS.values())
    )
    return StudySummary(
        name="grid",
        question="",
        factors=LEVELS,
        baseline="a=x, b=p",
        rows=rows,
        suites=(SuiteSummary(name="s", evaluator="mteb", tasks=tuple(TASKS)),),
    )


def _value(slug: str, task: str, subset: str) -> float:
    a, b, seed = slug[0], slug[1], slug[2]
    lift = 0.1 * (a == "y") + 0.02 * (b == "q") + 0.001 * int(seed)
    return 0.3 + lift + 0.05 * int(task[1]) + 0.01 * list(LANGUAGES).index(subset)


def _records() -> Iterator[Record]:
    for row in _summary().rows:
        for member, (task, kind) in itertools.product(row.members, TASKS.items()):
            # T3 has subsets in languages of their own and one in two.
            for subset in LANGUAGES if task == "T3" else ("one",):
                yield Record(
                    variant=member.slug,
                    revision=member.revision,
                    seed=member.seed,
                    suite="s",
                    task=task,
                    task_type=kind,
                    split="test",
                    subset=subset,
                    languages=LANGUAGES[subset],
                    metric="m",
                    value=_value(member.slug, task, subset),
                    evaluator="mteb 2",
                )


RECORDS = list(_records())


def _shape(rows: str, columns: str, records: list[Record] | None = None, **rest: Any) -> Table:
    return shape(_summary(), RECORDS if records is None else records, rows=rows, columns=columns, **rest)


def _mean(**wanted: str) -> float:
    """Return the mean over seeds, variants and tasks, each task the mean of its subsets."""
    found: dict[tuple[str, str], list[float]] = {}
    for one in RECORDS:
        facts = {"a": one.variant[0], "b": one.variant[1], "type": one.task_type, "task": one.task}
        if all(facts[name] == value for name, value in wanted.items()):
            found.setdefault((one.variant, one.task), []).append(one.value or 0.0)
    return float(np.mean([np.mean(values) for values in found.values()]))


def test_a_factor_by_a_factor_is_the_mean_over_tasks_and_seeds() -> None:
    table = _shape("a", "b")
    for a, b in itertools.product(*LEVELS.values()):
        assert cell_of(table, a, b).value == pytest.approx(_mean(a=a, b=b))


def test_a_type_is_the_mean_over_its_tasks_and_means_count_tasks_or_types() -> None:
    table = _shape("a", "type")
    keys = [column.key for column in table.columns]
    assert keys == ["STS", "Retrieval", "mean (tasks)", "mean (types)", "mean (tasks):delta"]
    sts, retrieval = _mean(a="y", type="STS"), _mean(a="y", type="Retrieval")
    assert cell_of(table, "y", "STS").value == pytest.approx(sts)
    assert cell_of(table, "y", "mean (tasks)").value == pytest.approx((2 * sts + retrieval) / 3)
    assert cell_of(table, "y", "mean (types)").value == pytest.approx((sts + retrieval) / 2)


def test_a_difference_is_paired_by_seed_and_the_best_is_marked() -> None:
    table = _shape("a", "type")
    delta = cell_of(table, "y", "mean (tasks):delta").delta
    assert delta is not None
    assert delta.value == pytest.approx(0.1)
    assert delta.seeds == (1, 2)
    assert cell_of(table, "x", "mean (tasks):delta").state == "baseline"
    assert cell_of(table, "y", "STS").standing == "best"
    assert cell_of(table, "x", "STS").standing == "second"


def test_a_subset_in_two_languages_counts_in_both() -> None:
    table = _shape("variant", "language", suite="s")
    slug = ("xp1", "xp2")
    german = np.mean([_value(one, "T3", subset) for one in slug for subset in ("two", "both")])
    assert cell_of(table, "a=x, b=p", "deu-Latn").value == pytest.approx(german)


def test_rows_may_be_tasks_and_columns_variants() -> None:
    straight, turned = _shape("variant", "task"), _shape("task", "variant")
    for row, task in itertools.product(_summary().rows, TASKS):
        value = cell_of(straight, row.label, task).value
        assert cell_of(turned, task, row.label).value == value


def test_what_lacks_one_score_has_no_mean_and_says_how_much_is_there() -> None:
    fewer = [one for one in RECORDS if not (one.variant == "yq1" and one.task == "T2")]
    table = _shape("a", "type", fewer)
    cell = cell_of(table, "y", "STS")
    assert (cell.value, cell.state, cell.reason) == (None, "incomplete", "7 of 8 scores are there")
    assert cell_of(table, "y", "mean (tasks)").value is None
    assert cell_of(table, "y", "mean (tasks):delta").value is None
    assert cell_of(table, "y", "Retrieval").value is not None
    assert (row_of(table, "y").coverage, row_of(table, "x").coverage) == ("2/3", "3/3")


def test_a_subset_that_others_have_is_missed() -> None:
    fewer = [one for one in RECORDS if not (one.variant == "xp2" and one.subset == "both")]
    assert cell_of(_shape("variant", "task", fewer), "a=x, b=p", "T3").value is None


def test_rows_measured_otherwise_are_marked_with_the_field() -> None:
    moved = [
        structs.replace(one, prompt_hash="p2") if one.variant[0] == "y" and one.task == "T1" else one
        for one in RECORDS
    ]
    row = row_of(_shape("a", "task", moved), "y")
    assert row.unlike == "Not measured in the same way as x: prompt hash (T1)."
    assert row.notes


def test_levels_that_do_not_meet_the_same_others_are_marked() -> None:
    summary = _summary()
    table = shape(replace(summary, rows=summary.rows[:3]), RECORDS, rows="a", columns="task")
    assert "Not over the same levels of b as x" in row_of(table, "y").unlike


def test_another_metric_leaves_out_the_tasks_without_it() -> None:
    more = [
        *RECORDS,
        *(structs.replace(one, metric="r", is_main=False) for one in RECORDS if one.task == "T3"),
    ]
    table = _shape("variant", "task", more, metric="r")
    assert [column.task for column in table.columns if column.kind == "task"] == ["T3"]
    assert "Left out, since they have no r: T1, T2." in table.notes


def test_a_metric_that_is_nought_everywhere_is_there() -> None:
    more = [
        *RECORDS,
        *(
            structs.replace(one, metric="r", is_main=False, value=0.0 if one.task == "T3" else 0.5)
            for one in RECORDS
            if one.task != "T1"
        ),
    ]
    table = _shape("variant", "task", more, metric="r")
    assert cell_of(table, "a=x, b=p", "T3").value == 0
    assert "Left out, since they have no r: T1." in table.notes


@pytest.mark.parametrize(("rows", "columns"), [("language", "variant"), ("variant", "language")])
def test_a_task_that_nobody_measured_has_no_language_of_its_own(rows: str, columns: str) -> None:
    fewer = [one for one in RECORDS if one.task != "T2"]
    table = _shape(rows, columns, fewer)
    labels = [row.label for row in table.rows] + [column.task for column in table.columns]
    assert "nan" not in labels
    assert {"eng-Latn", "deu-Latn"} <= set(labels)


@pytest.mark.parametrize("summary", [replace(_summary(), suites=()), replace(_summary(), rows=())])
def test_a_study_of_nothing_has_an_empty_table(summary: StudySummary) -> None:
    table = shape(replace(summary, baseline=None), RECORDS, rows="variant", columns="task")
    assert not table.columns or not table.rows


@given(st.data())
@settings(max_examples=15)
def test_scores_are_those_of_the_studys_own_table(data: st.DataObject) -> None:
    """To the last digit, gaps included, whatever is missing and whatever shape it has."""
    gone = data.draw(st.sets(st.integers(0, len(RECORDS) - 1), max_size=6))
    values = data.draw(st.lists(st.floats(0, 1), min_size=len(RECORDS), max_size=len(RECORDS)))
    records = [
        structs.replace(one, value=value)
        for number, (one, value) in enumerate(zip(RECORDS, values, strict=True))
        if number not in gone
    ]
    shaped, own = _shape("variant", "task", records), build_table(_summary(), records)
    for row in _summary().rows:
        for task in TASKS:
            one, other = cell_of(shaped, row.label, task), cell_of(own, row.label, f"s/{task}")
            if other.state == "ok":
                assert (one.value, one.per_seed, one.text) == (other.value, other.per_seed, other.text)
            else:
                assert one.value is None


@pytest.mark.parametrize(
    ("rows", "columns", "rest", "told"),
    [
        ("c", "task", {}, "no 'c' to lay out"),
        ("a", "a", {}, "rows and columns are both 'a'"),
        ("a", "task", {"suite": "t"}, "no suite 't'"),
        ("a", "task", {"metric": "n"}, "no score of the metric 'n'"),
    ],
)
def test_what_is_not_there_is_refused_by_name(
    rows: str, columns: str, rest: dict[str, Any], told: str
) -> None:
    with pytest.raises(RecordError, match=told):
        shape(_summary(), RECORDS, rows=rows, columns=columns, **rest)


@given(st.permutations(RECORDS))
@settings(max_examples=10, deadline=None)
def test_the_order_of_records_changes_nothing(records: list[Record]) -> None:
    assert _shape("a", "type", records) == _shape("a", "type")


@given(st.sets(st.integers(0, len(RECORDS) - 1), max_size=4))
@settings(max_examples=25, deadline=None)
def test_a_cell_has_a_value_if_and_only_if_all_its_scores_are_there(gone: set[int]) -> None:
    left = [one for index, one in enumerate(RECORDS) if index not in gone]
    table = _shape("a", "task", left)
    lost = {(RECORDS[index].variant[0], RECORDS[index].task) for index in gone}
    for a, task in itertools.product(LEVELS["a"], TASKS):
        assert (cell_of(table, a, task).value is None) == ((a, task) in lost)


def test_a_frame_has_the_numbers_of_the_table(tmp_path: Path) -> None:
    write_summary(_summary(), tmp_path / "study.json")
    write_records(tmp_path / "records.jsonl", RECORDS)
    wide = frame(tmp_path, rows="a", columns="type")
    assert list(wide.index) == ["x", "y"]
    assert wide.loc["y", "STS"] == pytest.approx(100 * _mean(a="y", type="STS"))
    assert wide.attrs["coverage"] == {"x": "3/3", "y": "3/3"}


def test_tasks_that_any_variant_was_trained_for_are_kept_apart_from_zero_shot_ones() -> None:
    summary = replace(_summary(), in_domain=("T1", "elsewhere"))
    table = shape(summary, list(_records()), rows="variant", columns="domain")
    by_task = shape(summary, list(_records()), rows="variant", columns="task")
    for row in summary.rows:
        known = {name: cell_of(by_task, row.label, name).value for name in TASKS}
        assert cell_of(table, row.label, "in-domain").value == pytest.approx(known["T1"])
        zero_shot = cell_of(table, row.label, "zero-shot").value
        assert zero_shot == pytest.approx(((known["T2"] or 0) + (known["T3"] or 0)) / 2)


def test_without_word_of_the_training_data_no_task_is_called_zero_shot() -> None:
    with pytest.raises(RecordError, match=r"not known which tasks are zero-shot"):
        shape(_summary(), list(_records()), rows="variant", columns="domain")


def test_suites_of_one_tier_stand_in_one_column() -> None:
    suites = (
        SuiteSummary(name="a", evaluator="mteb", tasks=("T1",), benchmark="nano"),
        SuiteSummary(name="b", evaluator="mteb", tasks=("T2",), benchmark="nano"),
        SuiteSummary(name="c", evaluator="mteb", tasks=("T3",), benchmark="BEIR"),
    )
    summary = replace(_summary(), suites=suites)
    place = {task: suite.name for suite in suites for task in suite.tasks}
    records = [structs.replace(one, suite=place[one.task]) for one in _records()]
    table = shape(summary, records, rows="variant", columns="tier")
    by_task = shape(_summary(), list(_records()), rows="variant", columns="task")
    for row in summary.rows:
        known = {name: cell_of(by_task, row.label, name).value or 0 for name in TASKS}
        nano = cell_of(table, row.label, "nano").value
        assert nano == pytest.approx((known["T1"] + known["T2"]) / 2)
        assert cell_of(table, row.label, "other").value == pytest.approx(known["T3"])
