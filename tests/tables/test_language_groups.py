"""Groups of languages: whose they are, where a part of a task falls, and what tables make of it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from harness.records.schema import Record
from harness.records.summary import Member, RowSummary, StudySummary, SuiteSummary
from harness.tables import long_frame, shape
from harness.tables.language_groups import GROUPINGS, grouping, labels
from tests.tables.lookup import cell_of

PARTS = {
    "eng": ("eng-Latn",),
    "ben": ("ben-Beng",),
    "tel": ("tel-Telu",),
    "swh-eng": ("swh-Latn", "eng-Latn"),
    "deu-fra": ("deu-Latn", "fra-Latn"),
}
VALUES = {"eng": 0.9, "ben": 0.6, "tel": 0.4, "swh-eng": 0.2, "deu-fra": 0.8}
SUMMARY = StudySummary(
    name="languages",
    question="",
    factors={},
    baseline="small",
    rows=tuple(
        RowSummary(label=name, levels={}, members=(Member(slug=name, revision="", seed=1),))
        for name in ("small", "large")
    ),
    suites=(SuiteSummary(name="s", evaluator="mteb", tasks=("Pairs", "English")),),
)


def _record(variant: str, task: str, subset: str, languages: tuple[str, ...]) -> Record:
    lift = 0.05 * (variant == "large")
    return Record(
        variant=variant,
        revision="",
        seed=1,
        suite="s",
        task=task,
        task_type="STS",
        split="test",
        subset=subset,
        languages=languages,
        metric="m",
        value=VALUES[subset] + lift,
    )


RECORDS = [
    _record(variant, task, subset, PARTS[subset])
    for variant in ("small", "large")
    for task, subsets in (("Pairs", tuple(PARTS)), ("English", ("eng",)))
    for subset in subsets
]


@pytest.mark.parametrize("name", GROUPINGS)
def test_a_grouping_has_a_source_and_each_language_in_one_group(name: str) -> None:
    found = grouping(name)
    codes = [code for own in found.groups.values() for code in own]
    assert len(codes) == len(set(codes))
    assert all(re.fullmatch("[a-z]{3}", code) for code in codes)
    assert re.search(r"ACL 20\d\d", found.source)
    assert found.others


@pytest.mark.parametrize(
    ("name", "languages", "expected"),
    [
        ("resource", ("eng-Latn",), "high"),
        ("resource", ("hin-Deva",), "high"),
        ("resource", ("ben-Beng",), "mid"),
        ("resource", ("tel-Telu",), "low"),
        ("resource", ("swh-Latn", "eng-Latn"), "low"),
        ("resource", ("python-Code", "eng-Latn"), "high"),
        ("resource", ("sql-Code",), ""),
        ("resource", ("zxx-Zxxx",), ""),
        ("resource", (), ""),
        ("e5-resource", ("hin-Deva",), "low"),
        ("e5-resource", ("rus-Cyrl",), "high"),
        ("e5-resource", ("deu-Latn", "eng-Latn"), "other"),
    ],
)
def test_a_part_is_in_the_last_group_of_its_languages(
    name: str, languages: tuple[str, ...], expected: str
) -> None:
    assert grouping(name).of(languages) == expected


@given(st.permutations(["eng-Latn", "ben-Beng", "tel-Telu", "deu-Latn", "c-Code"]), st.integers(0, 5))
def test_the_order_of_languages_does_not_matter(languages: list[str], num: int) -> None:
    some = tuple(languages[:num])
    assert grouping("resource").of(some) == grouping("resource").of(some[::-1])
    assert set(labels(some, ("language",))) == {(one,) for one in some or ("",)}


def test_columns_are_groups_and_each_part_of_a_task_counts_once_in_its_group() -> None:
    table = shape(SUMMARY, RECORDS, rows="variant", columns="resource")
    assert [column.key for column in table.columns] == ["high", "mid", "low", "mean", "mean:delta"]
    pairs, english = (VALUES["eng"] + VALUES["deu-fra"]) / 2, VALUES["eng"]
    low = (VALUES["tel"] + VALUES["swh-eng"]) / 2
    assert cell_of(table, "small", "high").value == pytest.approx((pairs + english) / 2)
    assert cell_of(table, "small", "mid").value == pytest.approx(VALUES["ben"])
    assert cell_of(table, "small", "low").value == pytest.approx(low)
    expected = ((pairs + english) / 2 + VALUES["ben"] + low) / 3
    assert cell_of(table, "small", "mean").value == pytest.approx(expected)
    assert cell_of(table, "large", "mean:delta").value == pytest.approx(0.05)


def test_the_notes_say_whose_groups_they_are_and_what_is_in_them() -> None:
    notes = " ".join(shape(SUMMARY, RECORDS, rows="variant", columns="resource").notes)
    assert "Joshi" in notes
    assert "high: deu-Latn, eng-Latn, fra-Latn; mid: ben-Beng; low: swh-Latn, tel-Telu" in notes
    plain = " ".join(shape(SUMMARY, RECORDS, rows="variant", columns="language").notes)
    assert "Joshi" not in plain


def test_a_missing_part_leaves_its_group_empty_and_the_others_whole() -> None:
    fewer = [
        one
        for one in RECORDS
        if not (one.variant == "large" and one.subset == "tel" and one.task == "Pairs")
    ]
    table = shape(SUMMARY, fewer, rows="variant", columns="resource")
    assert cell_of(table, "large", "low").value is None
    assert cell_of(table, "large", "mean").value is None
    assert cell_of(table, "large", "high").value is not None
    assert cell_of(table, "small", "low").value is not None


def test_tasks_without_a_recorded_language_are_named_and_in_no_mean() -> None:
    more = [
        structs.replace(one, task="Plain", languages=(), value=0.0)
        for one in RECORDS
        if one.task == "English"
    ]
    suite = SuiteSummary(name="s", evaluator="mteb", tasks=("Pairs", "English", "Plain"))
    summary = replace(SUMMARY, suites=(suite,))
    for axis in ("language", "resource"):
        whole = shape(SUMMARY, RECORDS, rows="variant", columns=axis)
        table = shape(summary, [*RECORDS, *more], rows="variant", columns=axis)
        assert f"Not by {axis}, since no language is recorded: Plain." in table.notes
        assert cell_of(table, "small", "mean").value == cell_of(whole, "small", "mean").value
    unmeasured = shape(summary, RECORDS, rows="variant", columns="resource")
    assert cell_of(unmeasured, "small", "mean").value is None


def test_groups_may_stand_beside_languages_and_tasks() -> None:
    table = shape(SUMMARY, RECORDS, rows="language", columns="resource")
    assert cell_of(table, "eng-Latn", "low").value == pytest.approx(VALUES["swh-eng"] + 0.025)
    by_task = shape(SUMMARY, RECORDS, rows="task", columns="e5-resource")
    assert cell_of(by_task, "English", "low").state == "missing"
    assert cell_of(by_task, "Pairs", "other").value == pytest.approx(VALUES["deu-fra"] + 0.025)


def test_the_long_frame_has_a_column_for_each_axis_asked_for() -> None:
    frame = long_frame(SUMMARY, RECORDS, by=("language", "resource"))
    assert {"language", "resource"} <= set(frame)
    assert set(frame.loc[frame["language"] == "swh-Latn", "resource"]) == {"low"}
    assert not {"language", "resource"} & set(long_frame(SUMMARY, RECORDS))
