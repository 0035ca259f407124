from __future__ import annotations

from pathlib import Path

import pytest

from harness.records.schema import Record
from harness.records.summary import StudySummary
from harness.report.agreement import compare_report, compare_texts
from harness.report.cells import split_cells
from harness.report.write import render_report, write_report


@pytest.mark.parametrize(
    ("published", "rebuilt", "expected"),
    [
        ("a 71.20\n", "a 71.20\n", "OK"),
        ("a 71.20\n", "a 71.21\n", "rounding"),
        ("a 71.20\n", "a 71.22\n", "differs"),
        ("a 71.20\n", "a 71.2\n", "differs"),
        ("71.20.", "71.21.", "rounding"),
        ("0.7120000001", "0.7120000002", "rounding"),
        ("0.7120000001", "0.7121000001", "differs"),
        ("1.25e-05", "1.2500000001e-05", "rounding"),
        ("-0.01", "-0.02", "rounding"),
        ("-0.01", "0.01", "differs"),
        ("4/4 tasks", "3/4 tasks", "differs"),
        ("seed 0", "seed 1", "differs"),
        ("torch 2.14.0", "torch 2.13.0", "differs"),
        ("a\nb", "a", "differs"),
        ("a", "a\nb", "differs"),
    ],
)
def test_only_the_last_digit_of_a_number_may_differ(published: str, rebuilt: str, expected: str) -> None:
    assert compare_texts(published, rebuilt)[0] == expected


def test_the_first_difference_is_shown_with_its_line() -> None:
    _, detail = compare_texts("same\nscore 71.20 of one\n", "same\nscore 75.20 of one\n")
    assert detail.startswith("line 2: ")
    assert "71.20" in detail
    assert "75.20" in detail


def test_a_report_agrees_with_its_records(
    summary: StudySummary, records: list[Record], tmp_path: Path
) -> None:
    write_report(summary, records, tmp_path)
    found = compare_report(render_report(summary, records), tmp_path)
    assert {one.status for one in found} == {"OK"}
    assert all(one.num_cells > 50 for one in found)
    assert not any(one.cells for one in found)


def test_a_missing_file_differs(summary: StudySummary, records: list[Record], tmp_path: Path) -> None:
    write_report(summary, records, tmp_path)
    (tmp_path / "table.csv").unlink()
    rebuilt = render_report(summary, records)
    found = {one.file.name: one for one in compare_report(rebuilt, tmp_path)}
    assert (found["table.csv"].status, found["table.csv"].detail) == ("differs", "no such file")
    assert found["table.md"].status == "OK"


@pytest.mark.parametrize("name", ["table.md", "table.csv", "table.tex", "table.json", "table.html"])
def test_a_changed_cell_is_named_and_the_others_are_the_same(
    summary: StudySummary, records: list[Record], tmp_path: Path, name: str
) -> None:
    rebuilt = {name: render_report(summary, records)[name]}
    before = "0.756" if name == "table.json" else "75.65"
    changed = rebuilt[name].replace(before, before.replace("75", "79"), 1)
    (tmp_path / name).write_text(changed, encoding="utf-8")
    (one,) = compare_report(rebuilt, tmp_path)
    assert one.status == "differs"
    assert [cell.status for cell in one.cells] == ["differs"]
    assert before.replace("75", "79") in one.cells[0].published
    assert before in one.cells[0].rebuilt
    if name == "table.csv":
        assert "reconstruction=on, pairs=paragraphs, news/" in one.cells[0].place


def test_a_file_that_is_no_json_falls_into_lines() -> None:
    assert split_cells("table.json", "{\nno") == {"line 1": "{", "line 2": "no"}
