"""Why a model has no value on a task of a suite.

Owns the naming of gaps: a state, a reason, the files. The rule: what the records already say of a file
is repeated as it is; what is not in them is a file that was not there, and is named by its path.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.records.mteb_records import explain_absence
from harness.records.schema import State
from harness.tables.suite_cells import Wanted, WantedCell
from harness.tables.suite_scores import SuiteScores

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """One value that is not there."""

    task: str
    state: State
    reason: str
    files: tuple[str, ...] = ()
    """Names of the files that are not there, where that is all that is wrong."""
    folder: str = ""
    """Where they are not; empty where it is not known."""


def find_gaps(scores: SuiteScores) -> dict[tuple[int, int], Gap]:
    """Return the gap for each row and task without a value."""
    places = np.argwhere(np.isnan(scores.values))
    if not len(places):
        return {}
    book = _Book(scores)
    return {(int(row), int(task)): book.explain(int(row), int(task)) for row, task in places}


class _Book:
    """The records of a suite, found by row and task."""

    def __init__(self, scores: SuiteScores) -> None:
        self._wanted: Wanted = scores.wanted
        self._frame: pd.DataFrame = scores.frame
        self._groups: dict[Any, Any] = scores.frame.groupby(["row", "task"]).indices
        self._folders: tuple[str, ...] = scores.folders

    def explain(self, row: int, task: int) -> Gap:
        wanted = self._wanted.tasks[task]
        if wanted.parts:
            gap = self._explain_parts(row, task)
            if gap is not None:
                return gap
        return self._explain_cells(row, [self._wanted.cells[place] for place in wanted.cells])

    def _explain_parts(self, row: int, task: int) -> Gap | None:
        """Return the gap of an aggregate that has some of its parts, None if it has none of them."""
        wanted = self._wanted.tasks[task]
        names = wanted.facts.parts
        lacking = [name for name in names if not self._has_value(row, name)]
        if len(lacking) == len(names):
            return None
        folder = self._folders[row]
        reason = f"{len(names) - len(lacking)} of {len(names)} parts are there"
        unread = [one for one in lacking if self._records(row, one) is not None]
        if unread:
            places = wanted.parts[names.index(unread[0])]
            reason += "; " + self._explain_cells(row, [self._wanted.cells[one] for one in places]).reason
        return Gap(
            task=wanted.facts.name,
            state="partial_aggregate",
            reason=reason,
            files=tuple(f"{one}.json" for one in lacking if one not in unread),
            folder=folder,
        )

    def _explain_cells(self, row: int, cells: Sequence[WantedCell]) -> Gap:
        task = cells[0].task
        records = self._records(row, task)
        if records is None:
            return self._no_file(row, task)
        for cell in cells:
            found = self._explain_cell(records, cell)
            if found is not None:
                return Gap(task=task, state=found[0], reason=found[1])
        seeds = sorted(set(self._frame.loc[self._frame["row"] == row, "seed"].dropna().astype(int)))
        return Gap(
            task=task, state="missing", reason=f"not measured with all of the seeds {_listed(seeds)}"
        )

    def _explain_cell(self, records: pd.DataFrame, cell: WantedCell) -> tuple[State, str] | None:
        """Return what is wrong with one cell, None if it has a value."""
        same = records["split"].isin(cell.splits) & (records["subset"] == cell.subset)
        there = records.loc[same & records["metric"].isin(cell.metrics)]
        if (there["state"] == "ok").any():
            return None
        told = there if len(there) else records.loc[records["state"] == "unreadable"]
        if len(told):
            first = told.iloc[0]
            state: State = first["state"]
            return state, str(first["reason"]) or "no reason was recorded"
        ok = records.loc[records["state"] == "ok"]
        source = str(records["source"].iloc[0])
        if same.any():
            metrics = _listed(sorted(set(records.loc[same, "metric"])))
            return "other_metric", f"{source}: no {' or '.join(cell.metrics)}; there is {metrics}"
        held = zip(ok["split"], ok["subset"], strict=True)
        return explain_absence(source, split=cell.split, subset=cell.subset, held=held)

    def _no_file(self, row: int, task: str) -> Gap:
        folder = self._folders[row]
        files = (f"{task}.json",) if folder else ()
        return Gap(task=task, state="missing", reason="not measured", files=files, folder=folder)

    def _has_value(self, row: int, task: str) -> bool:
        records = self._records(row, task)
        return records is not None and bool(((records["cell"] >= 0) & (records["state"] == "ok")).any())

    def _records(self, row: int, task: str) -> pd.DataFrame | None:
        places = self._groups.get((row, task))
        return None if places is None else self._frame.iloc[places]


def _listed(items: Iterable[object]) -> str:
    return ", ".join(str(item) for item in items)
