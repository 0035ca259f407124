"""The fake study and its report, made once."""

from __future__ import annotations

import pytest

from harness.records.schema import Record
from harness.records.summary import StudySummary
from harness.report.content import Report


@pytest.fixture(scope="session")
def report(summary: StudySummary, records: list[Record]) -> Report:
    return Report(summary, records)
