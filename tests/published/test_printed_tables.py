"""Every printed row is met by its result files, or its disagreement is known and its cause is shown."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.records.bulk import to_bulk_frame
from harness.records.facts import find_suite
from harness.records.importing import read_mteb_folder
from harness.tables.format import round_scaled
from harness.tables.suite_table import SuiteRow, SuiteTable, build_suite_table

if TYPE_CHECKING:
    import pandas as pd

DISAGREEMENTS = Path(__file__).with_name("disagreements.csv")
TYPES = (
    "Classification",
    "Clustering",
    "PairClassification",
    "Reranking",
    "Retrieval",
    "STS",
    "Summarization",
)
COLUMNS = {**dict.fromkeys(TYPES, ""), "avg": "Average", "mean_type": "AverageOfTypes"}
"""Column of the printed tables -> ours, where it has another name."""


@dataclass(frozen=True)
class Printed:
    """One printed number."""

    table: str
    model: str
    suite: str
    snapshot: str
    folder: str
    revision: str
    column: str
    value: Decimal
    unit: Decimal

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.table, self.model, self.column)

    def is_met_by(self, value: float | None) -> bool:
        return value is not None and abs(round_scaled(value) - self.value) <= self.unit


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _printed(published: Path) -> Iterator[Printed]:
    for row in _rows(published / "published_tables_open.csv"):
        for column in COLUMNS:
            if row[column]:
                yield _number(row, row["benchmark"], row["files"], column, row[column], row["decimals"])
    for row in _rows(published / "published_per_task_open.csv"):
        digits = str(len(row["score"].partition(".")[2]))
        yield _number(row, "MTEB(eng, v1)", row["ref"], row["task"], row["score"], digits)


def _number(
    row: dict[str, str], suite: str, files: str, column: str, value: str, decimals: str
) -> Printed:
    snapshot, folder, revision = files.split("/", 2)
    return Printed(
        table=row["table_id"],
        model=row["model"],
        suite=suite,
        snapshot=snapshot,
        folder=folder,
        revision=revision,
        column=column,
        value=Decimal(value),
        # A number that was rounded to fewer places than its row can be met no closer.
        unit=Decimal(1).scaleb(-min(int(decimals), len(value.partition(".")[2]))),
    )


@cache
def _frame(folder: Path) -> pd.DataFrame:
    return to_bulk_frame(read_mteb_folder(folder)[0])


@cache
def _table(published: Path, one: Printed, *, by_task: bool) -> SuiteTable:
    frame = _frame(published / one.snapshot / "results" / one.folder)
    union = ("revision", "external", "none") if one.revision.startswith("UNION") else None
    return build_suite_table(frame, find_suite(one.suite), by="task" if by_task else "type", union=union)


def _ours(published: Path, one: Printed, table: SuiteTable | None = None) -> float | None:
    table = table or _table(published, one, by_task=one.column not in COLUMNS)
    name = COLUMNS.get(one.column) or one.column
    column = [column.name for column in table.columns].index(name)
    return _row(table, one).values[column]


def _row(table: SuiteTable, one: Printed) -> SuiteRow:
    wanted = "UNION(revision,external,none)" if one.revision.startswith("UNION") else one.revision
    return next(row for row in table.rows if row.revision == wanted)


def _known() -> dict[tuple[str, str, str], dict[str, str]]:
    return {(row["table_id"], row["model"], row["column"]): row for row in _rows(DISAGREEMENTS)}


def test_every_printed_number_is_met_or_known_to_disagree(shared_published: Path) -> None:
    known = _known()
    numbers = list(_printed(shared_published))
    assert len(numbers) > 250
    unmet = {one.key for one in numbers if not one.is_met_by(_ours(shared_published, one))}
    assert unmet == set(known)


def test_the_known_disagreements_say_what_the_files_give(shared_published: Path) -> None:
    numbers = {one.key: one for one in _printed(shared_published)}
    for key, row in _known().items():
        ours = _ours(shared_published, numbers[key])
        assert row["ours"] == ("" if ours is None else str(round_scaled(ours))), key
        assert row["printed"] == str(numbers[key].value)


def test_every_blank_among_them_is_named_with_its_file(shared_published: Path) -> None:
    numbers = {one.key: one for one in _printed(shared_published)}
    blanks = [numbers[key] for key, row in _known().items() if not row["ours"]]
    assert blanks
    for one in blanks:
        told = " ".join(_row(_table(shared_published, one, by_task=False), one).footnotes)
        assert "missing_split" in told
        assert f"{one.folder}/{one.revision}/MSMARCO.json" in told


def test_the_causes_account_for_the_disagreements(shared_published: Path) -> None:
    numbers = {one.key: one for one in _printed(shared_published)}
    checked = 0
    for key, row in _known().items():
        one = numbers[key]
        if row["remedy"] != "other run":
            assert one.is_met_by(_ours(shared_published, one, _remedied(shared_published, one, row))), (
                key
            )
            checked += 1
    assert checked == 9


def _remedied(published: Path, one: Printed, row: dict[str, str]) -> SuiteTable:
    """Return the table as the printed row was made, by the cause that is given."""
    frame = _frame(published / one.snapshot / "results" / one.folder)
    suite = find_suite(one.suite)
    remedy = row["remedy"]
    if remedy == "MSMARCO=test":
        return build_suite_table(frame, suite, accept={"MSMARCO": "test"})
    if remedy == "MSMARCO=test first":
        without = frame.loc[~((frame["task"] == "MSMARCO") & (frame["split"] == "dev"))]
        return build_suite_table(without, suite, accept={"MSMARCO": "test"})
    if remedy == "max_ap":
        cosine = frame["metric"] == "cosine_ap"
        renamed = frame.loc[~cosine].assign(
            metric=frame["metric"].where(frame["metric"] != "max_ap", "cosine_ap")
        )
        return build_suite_table(renamed, suite)
    task, _, revision = remedy.partition("@")
    own = (frame["task"] == task) & (frame["revision"] == one.revision)
    other = frame.loc[(frame["task"] == task) & (frame["revision"] == revision)]
    import pandas as pd

    changed = pd.concat([frame.loc[~own], other.assign(revision=one.revision)], ignore_index=True)
    return build_suite_table(changed, suite)


@pytest.mark.parametrize("snapshot", ["s2024-07", "s2025-12", "s2026-08"])
def test_a_row_is_complete_exactly_if_no_blank_is_in_it(shared_published: Path, snapshot: str) -> None:
    frame = _frame(shared_published / snapshot / "results")
    for name in ("MTEB(eng, v1)", "MTEB(eng, v2)"):
        table = build_suite_table(frame, find_suite(name))
        assert table.rows
        for row in table.rows:
            assert (row.num_complete == row.num_tasks) == (None not in row.values)
            assert len(row.gaps) == row.num_tasks - row.num_complete
