from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from harness.records.schema import Record
from harness.records.summary import StudySummary
from harness.report.content import Report
from harness.report.findings import Finding, introduce
from tests.tables.fake_study import label


def finding(report: Report, start: str) -> Finding:
    return next(one for one in report.findings if one.headline.startswith(start))


def levelled(records: list[Record], levels: dict[str, float], *, step: float = 0.0005) -> list[Record]:
    """Return records whose scores depend on the start of the variant's name and the seed alone."""
    return [
        structs.replace(one, value=levels[one.variant.split("-")[0]] + step * (one.seed or 0))
        if one.state == "ok" and one.variant.split("-")[0] in levels
        else one
        for one in records
    ]


def test_a_small_effect_is_called_within_noise(summary: StudySummary, records: list[Record]) -> None:
    report = Report(summary, levelled(records, {"off": 0.5, "on": 0.505}))
    effect = finding(report, "reconstruction, off → on")
    assert effect.value == "+0.50"
    assert effect.verdict == "within noise"
    assert "less than twice the noise" in effect.detail


def test_a_large_effect_is_called_clear(summary: StudySummary, records: list[Record]) -> None:
    report = Report(summary, levelled(records, {"off": 0.4, "on": 0.6}))
    effect = finding(report, "reconstruction, off → on")
    assert effect.value == "+20.00"
    assert effect.verdict == "clear"
    assert "2 pairs of rows" in effect.detail
    assert "seeds 0, 1" in effect.detail


def test_a_large_effect_on_one_seed_is_not_called_clear(
    summary: StudySummary, records: list[Record]
) -> None:
    rows = tuple(replace(row, members=row.members[:1]) for row in summary.rows)
    report = Report(replace(summary, rows=rows), levelled(records, {"off": 0.4, "on": 0.6}))
    effect = finding(report, "reconstruction, off → on")
    assert effect.verdict == "one seed"
    assert "how much a seed moves it is not known" in effect.detail


def test_without_any_estimate_of_noise_nothing_is_claimed(
    summary: StudySummary, records: list[Record]
) -> None:
    rows = tuple(
        replace(row, members=row.members[:1])
        for row in summary.rows
        if row.levels.get("pairs") == "headlines"
    )
    unknown = [structs.replace(one, num_queries=None) for one in records]
    report = Report(replace(summary, rows=rows), unknown)
    effect = finding(report, "reconstruction")
    assert effect.verdict == "open"
    assert "nothing is claimed" in effect.detail


def test_rows_that_were_measured_otherwise_are_not_compared(
    summary: StudySummary, records: list[Record]
) -> None:
    moved = [
        structs.replace(one, dataset_revision="bbc2") if one.variant.startswith("on") else one
        for one in levelled(records, {"off": 0.4, "on": 0.6})
    ]
    effect = finding(Report(summary, moved), "reconstruction")
    assert effect.verdict == "not alike"
    assert "not all measured in the same way" in effect.detail


def test_the_best_variant_is_held_against_second_baseline_and_references(report: Report) -> None:
    headlines = [one.headline for one in report.findings if one.headline.startswith("Best variant")]
    assert headlines == [
        f"Best variant: {label('on', 'paragraphs')}",
        f"Best variant against the second, {label('on', 'headlines')}",
        f"Best variant against the baseline, {label('off', 'headlines')}",
        "Best variant against untrained",
    ]


@pytest.mark.parametrize(("lower", "best"), [(False, "on"), (True, "off")])
def test_the_best_follows_the_direction_of_the_metric(
    summary: StudySummary, records: list[Record], lower: bool, best: str
) -> None:
    turned = [
        structs.replace(one, higher_is_better=not lower)
        for one in levelled(records, {"off": 0.4, "on": 0.6}, step=0)
    ]
    assert f"reconstruction={best}" in finding(Report(summary, turned), "Best variant:").headline


def test_incomplete_variants_are_counted_and_named(summary: StudySummary, records: list[Record]) -> None:
    fewer = [one for one in records if one.variant != "on-paragraphs-s0"]
    gap = finding(Report(summary, fewer), "variants incomplete")
    assert gap.value == "1 of 4"
    assert f"{label('on', 'paragraphs')} (0/4 tasks)" in gap.detail


def test_a_whole_study_has_no_gap(report: Report) -> None:
    assert not [one for one in report.findings if "incomplete" in one.headline]


def test_the_findings_say_what_they_are_about(report: Report, summary: StudySummary) -> None:
    assert introduce(report.table) == "All of it is about the mean over the 3 tasks of news, in points."
    single = Report(replace(summary, suites=summary.suites[1:]), [])
    assert "bbc-headlines" in introduce(single.table)
