"""Where a trial is looked at before its end: rungs of its training, or one task after the other.

Owns the stations of a trial. The rule: every station is a plan of ordinary steps, so that what was
trained and scored for it stays, is shared, and is what the next one goes on from. Deciding is the
pruner's affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.plan import Plan
from harness.plan.rungs import at_rung, going_on
from harness.search.cells import Cells
from harness.study.expression import Cell
from harness.tables.aggregate import mean_and_spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """One place on the way of a trial."""

    plan: Plan
    cells: tuple[Cell, ...]
    """What must be scored before it is reached."""
    step: int | None = None
    """Key of the value that is reported here: a rung's optimiser steps, or a task's place; None at the
    end of the trial."""
    is_rung: bool = False

    @property
    def leaves(self) -> tuple[str, ...]:
        """Fingerprints of the evaluations."""
        (row,) = self.plan.rows
        return tuple(one.evaluations[cell] for one in row.members for cell in self.cells)


def plan_stations(cells: Cells, plan: Plan) -> list[Station]:
    """Return the stations of a trial, its end last.

    Args:
        cells: The search's.
        plan: The trial's whole plan.
    """
    end = Station(plan=plan, cells=cells.cells)
    pruner = cells.search.pruner
    if pruner.kind == "wilcoxon":
        tasks = [
            Station(plan=_narrowed(plan, (cell,)), cells=(cell,), step=place)
            for place, cell in enumerate(cells.cells)
        ]
        return [*tasks, end]
    (row,) = plan.rows
    steps = [plan.steps[one.model].config.get("contrastive", {}).get("steps", 0) for one in row.members]
    found: list[Station] = []
    for rung in pruner.rungs:
        if rung < min(steps):
            cut = at_rung(plan, rung)
            found.append(
                Station(plan=_after(found, cut, cells), cells=cells.cells, step=rung, is_rung=True)
            )
    return [*found, replace(end, plan=_after(found, plan, cells))]


def station_value(cells: Cells, station: Station) -> float:
    """Return what is reported at a station: the objective at a rung, or the score of a task.

    Raises:
        NoValueError: If something has no score.
    """
    if station.is_rung:
        return cells.values(station.plan).values[0]
    (cell,) = station.cells
    return mean_and_spread([one.value for one in cells.scored(station.plan, cell)])[0]


def _after(earlier: Sequence[Station], plan: Plan, cells: Cells) -> Plan:
    """Return a plan whose models go on from the last rung."""
    if not earlier:
        return plan
    (row,), (before,) = plan.rows, earlier[-1].plan.rows
    folders = {
        now.model: str(cells.store.folder(plan.steps[now.model].stage, rung.model))
        for now, rung in zip(row.members, before.members, strict=True)
    }
    return going_on(plan, folders)


def _narrowed(plan: Plan, cells: Sequence[Cell]) -> Plan:
    """Return a plan with the steps that some cells need, and no others."""
    (row,) = plan.rows
    wanted: dict[str, None] = {}
    for one in row.members:
        for cell in cells:
            wanted |= dict.fromkeys(plan.lineage(one.evaluations[cell]))
    for name in list(wanted):
        for sparing in plan.steps[name].after:
            wanted |= dict.fromkeys(plan.lineage(sparing))
    return replace(plan, steps={name: step for name, step in plan.steps.items() if name in wanted})
