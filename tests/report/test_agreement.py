from __future__ import annotations

from pathlib import Path

import pytest

from harness.records.schema import Record
from harness.records.summary import StudySummary
from harness.report.agreement import compare_report, compare_texts
from harness.report.write import write_report


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
    assert {one.status for one in compare_report(summary, records, tmp_path)} == {"OK"}


def test_a_missing_file_differs(summary: StudySummary, records: list[Record], tmp_path: Path) -> None:
    write_report(summary, records, tmp_path)
    (tmp_path / "table.csv").unlink()
    found = {one.file.name: one for one in compare_report(summary, records, tmp_path)}
    assert (found["table.csv"].status, found["table.csv"].detail) == ("differs", "no such file")
    assert found["table.md"].status == "OK"
