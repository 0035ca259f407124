"""Finding rows, cells and values by name."""

from __future__ import annotations

from harness.records.schema import Record
from harness.tables.table import Cell, Row, Table
from tests.tables.fake_study import label

BASELINE = label("off", "headlines")
BEST = label("on", "paragraphs")


def row_of(table: Table, name: str) -> Row:
    return next(row for row in table.rows if row.label == name)


def cell_of(table: Table, row: str, key: str) -> Cell:
    index = [column.key for column in table.columns].index(key)
    return row_of(table, row).cells[index]


def value_of(records: list[Record], slug: str, task: str) -> float:
    found = [one.value for one in records if one.variant == slug and one.task == task and one.is_main]
    assert len(found) == 1
    assert found[0] is not None
    return found[0]


def without(records: list[Record], *, slug: str, task: str) -> list[Record]:
    return [record for record in records if not (record.variant == slug and record.task == task)]
