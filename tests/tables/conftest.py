"""The fake study's summary, records and table, made once."""

from __future__ import annotations

import pytest

from harness.records.schema import Record
from harness.records.summary import StudySummary
from harness.tables.build import build_table
from harness.tables.table import Table


@pytest.fixture(scope="session")
def table(summary: StudySummary, records: list[Record]) -> Table:
    return build_table(summary, records)
