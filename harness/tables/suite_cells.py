"""What a suite asks of the records: splits, subsets and metrics, and what may stand for them.

Owns the list of wanted cells. The rule: a cell has its usual split and metric first; another name of the
same split may stand for it, and another split only where the reader asks for it by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from harness.errors import RecordError, did_you_mean
from harness.records.facts import Suite, TaskFacts, task_facts
from harness.records.mteb_records import same_splits


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedCell:
    """One split and subset of one task."""

    task: str
    split: str
    subset: str
    splits: tuple[str, ...]
    """Names under which the split is looked for, the preferred one first."""
    metrics: tuple[str, ...]
    """Metrics that count, the preferred one first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedTask:
    """One task of a suite as places in the list of cells."""

    facts: TaskFacts
    cells: tuple[int, ...]
    """Its own splits and subsets; its value is their mean."""
    parts: tuple[tuple[int, ...], ...] = ()
    """For an aggregate, the cells of each part; if they are there, its value is the mean over parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """All that a suite asks for."""

    suite: Suite
    cells: tuple[WantedCell, ...]
    tasks: tuple[WantedTask, ...]


def list_wanted(suite: Suite, *, accept: Mapping[str, str] | None = None) -> Wanted:
    """Return the cells of a suite.

    Args:
        suite: The suite.
        accept: Task -> a split that may stand for the task's own where that is not there.

    Raises:
        RecordError: If `accept` names a task that the suite does not have.
    """
    accept = dict(accept or {})
    names = [task.name for task in suite.tasks]
    for name in accept:
        if name not in names:
            raise RecordError(
                f"{suite.name} has no task {name!r}.{did_you_mean(name, names)}",
                cure="--accept takes TASK=SPLIT with a task of the suite",
            )
    cells: list[WantedCell] = []
    tasks = []
    for task in suite.tasks:
        own = _add(cells, task, suite, accept.get(task.name))
        # A part is measured on the splits and subsets on which the suite measures the aggregate.
        parts = tuple(
            _add(cells, replace(task_facts()[part], splits=task.splits), suite, None)
            for part in task.parts
        )
        tasks.append(WantedTask(facts=task, cells=own, parts=parts))
    return Wanted(suite=suite, cells=tuple(cells), tasks=tuple(tasks))


def _add(
    cells: list[WantedCell], task: TaskFacts, suite: Suite, accepted: str | None
) -> tuple[int, ...]:
    start = len(cells)
    for split in task.splits:
        names = same_splits(split) + ((accepted,) if accepted else ())
        cells.extend(
            WantedCell(
                task=task.name,
                split=split,
                subset=subset,
                splits=tuple(dict.fromkeys(names)),
                metrics=suite.metrics(task),
            )
            for subset in task.subsets
        )
    return tuple(range(start, len(cells)))
