"""Tables that papers print, as reference records.

Owns `paper.json`, which says in what order a paper's numbers stand; they lie beside it in
`records.jsonl`. The rule: a number is kept as it was printed, with the table it stands in; where a
paper contradicts itself both numbers are kept and the contradiction is computed, never repaired.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError

from harness.errors import RecordError, did_you_mean
from harness.records.schema import Record
from harness.records.store import read_records

PAPER_NAME = "paper.json"
RECORDS_NAME = "records.jsonl"
AVERAGE = "Average"
"""Column of the mean over tasks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperRow:
    """One line of a printed table."""

    name: str
    """The records' variant."""
    decimals: int
    """Digits behind the point that the paper prints."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperTable:
    """One printed table."""

    id: str
    """The records' suite."""
    title: str
    suite: str = ""
    """mteb's name of the benchmark that the columns belong to; empty where there is none."""
    columns: tuple[str, ...]
    """The records' tasks, in order."""
    rows: tuple[PaperRow, ...]
    notes: tuple[str, ...] = ()
    is_transposed: bool = False
    """Whether the table reads better with a line a column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperLayout:
    """What `paper.json` says."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    title: str
    arxiv: str
    tables: tuple[PaperTable, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """A paper's layout with its numbers."""

    layout: PaperLayout
    records: Mapping[tuple[str, str, str], Record] = field(repr=False)
    """Table, row and column -> record."""

    def printed(self, table: PaperTable, row: PaperRow, column: str) -> Decimal | None:
        """Return a number as it is printed, with its trailing zeros; None where there is none."""
        record = self.records.get((table.id, row.name, column))
        if record is None or record.value is None:
            return None
        return (100 * Decimal(repr(record.value))).quantize(Decimal(1).scaleb(-row.decimals))

    def table(self, name: str) -> PaperTable:
        """Return a table by its id.

        Raises:
            RecordError: If the paper has none of that id here.
        """
        for table in self.layout.tables:
            if table.id == name:
                return table
        known = [table.id for table in self.layout.tables]
        raise RecordError(
            f"{self.layout.name} has no table {name!r}.{did_you_mean(name, known)}",
            cure=f"tables: {', '.join(known)}",
        )


def read_paper(folder: Path) -> Paper:
    """Read a paper's tables.

    Raises:
        RecordError: If a file is missing or damaged, or a record belongs to none of the tables.
    """
    path = folder / PAPER_NAME
    try:
        layout = TypeAdapter(PaperLayout).validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise RecordError(
            f"{path}: no such file", cure="papers' tables are in results/published/"
        ) from error
    except ValidationError as error:
        raise RecordError(f"{path}: not a paper's layout: {error}") from error
    records = {
        (record.suite, record.variant, record.task): record
        for record in read_records(folder / RECORDS_NAME)
    }
    places = {
        (table.id, row.name, column)
        for table in layout.tables
        for row in table.rows
        for column in table.columns
    }
    stray = sorted(set(records) - places)
    if stray:
        raise RecordError(
            f"{folder / RECORDS_NAME}: {', '.join(stray[0])} has no place in {PAPER_NAME}",
            cure=f"name it there, or take it out of {RECORDS_NAME}",
        )
    return Paper(layout=layout, records=records)
