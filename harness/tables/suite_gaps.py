"""Why a model has no value on a task of a suite.

Owns the naming of gaps: a state, a reason, the files. The rule: what the records already say of a file
is repeated as it is; what is not in them is a file that was not there, and is named by its path.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from harness.records.mteb_records import explain_absence
from harness.records.schema import State
from harness.tables.suite_cells import Wanted, WantedCell
from harness.tables.suite_scores import SuiteScores


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
    listed = places.tolist()
    book = _Book(scores, [row for row, _ in listed])
    return {(row, task): book.explain(row, task) for row, task in listed}


class _Line(NamedTuple):
    """What is told of one record."""

    split: str
    subset: str
    metric: str
    state: State
    reason: str
    source: str
    cell: int


class _Book:
    """The records of the rows that lack something, found by row and task.

    Plain lists, since a slice of a frame for each gap takes a thousand times as long.
    """

    def __init__(self, scores: SuiteScores, rows: Iterable[int]) -> None:
        self._wanted: Wanted = scores.wanted
        self._folders: tuple[str, ...] = scores.folders
        self._lines: dict[tuple[int, str], list[_Line]] = {}
        self._seeds: dict[int, set[int]] = {}
        frame = scores.frame
        frame = frame.loc[frame["row"].isin(set(rows))]
        columns = [frame[name].tolist() for name in _Line._fields]
        for row, task, *told in zip(
            frame["row"].tolist(), frame["task"].tolist(), *columns, strict=True
        ):
            self._lines.setdefault((row, task), []).append(_Line(*told))
        seeded = frame.loc[frame["seed"].notna(), ["row", "seed"]].drop_duplicates()
        for row, seed in zip(seeded["row"].tolist(), seeded["seed"].tolist(), strict=True):
            self._seeds.setdefault(row, set()).add(int(seed))

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
        unread = [one for one in lacking if (row, one) in self._lines]
        if unread:
            places = wanted.parts[names.index(unread[0])]
            reason += "; " + self._explain_cells(row, [self._wanted.cells[one] for one in places]).reason
        # Its own file too, where that is not there: nothing else would name it.
        absent = [one for one in (wanted.facts.name, *lacking) if (row, one) not in self._lines]
        return Gap(
            task=wanted.facts.name,
            state="partial_aggregate",
            reason=reason,
            files=tuple(f"{one}.json" for one in absent if folder),
            folder=folder,
        )

    def _explain_cells(self, row: int, cells: Sequence[WantedCell]) -> Gap:
        task = cells[0].task
        lines = self._lines.get((row, task))
        if lines is None:
            return self._no_file(row, task)
        for cell in cells:
            found = _explain_cell(lines, cell)
            if found is not None:
                return Gap(task=task, state=found[0], reason=found[1])
        seeds = sorted(self._seeds.get(row, ()))
        return Gap(
            task=task, state="missing", reason=f"not measured with all of the seeds {_listed(seeds)}"
        )

    def _no_file(self, row: int, task: str) -> Gap:
        folder = self._folders[row]
        files = (f"{task}.json",) if folder else ()
        return Gap(task=task, state="missing", reason="not measured", files=files, folder=folder)

    def _has_value(self, row: int, task: str) -> bool:
        return any(one.cell >= 0 and one.state == "ok" for one in self._lines.get((row, task), ()))


def _explain_cell(lines: Sequence[_Line], cell: WantedCell) -> tuple[State, str] | None:
    """Return what is wrong with one cell, None if it has a value."""
    same = [one for one in lines if one.subset == cell.subset and one.split in cell.splits]
    there = [one for one in same if one.metric in cell.metrics]
    if any(one.state == "ok" for one in there):
        return None
    for one in there or [one for one in lines if one.state == "unreadable"]:
        return one.state, one.reason or "no reason was recorded"
    source = lines[0].source
    if same:
        metrics = _listed(sorted({one.metric for one in same}))
        return "other_metric", f"{source}: no {' or '.join(cell.metrics)}; there is {metrics}"
    held = [(one.split, one.subset) for one in lines if one.state == "ok"]
    return explain_absence(source, split=cell.split, subset=cell.subset, held=held)


def _listed(items: Iterable[object]) -> str:
    return ", ".join(str(item) for item in items)
