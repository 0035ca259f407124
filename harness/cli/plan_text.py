"""A plan as people read it.

Owns what `harness plan` prints without `--json`. Piped output keeps whole lines.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.execution.states import PlannedStep
from harness.plan import Plan
from harness.plan.forecast import Forecast, show
from harness.plan.power import ENOUGH_SEEDS, Detectable
from harness.plan.ranges import Range

if TYPE_CHECKING:
    from harness.execution.expectations import Outcome
    from harness.plan.changes import PlanChanges

_COLOURS = {"run": "yellow", "reuse": "green", "wait": "cyan"}
_MOST_LINES = 500
"""Plans with more steps are told by stage."""


def console() -> Console:
    """Return the console for stdout; cutting lines to a guessed width would lose data."""
    return Console() if sys.stdout.isatty() else Console(width=200)


def say(text: str) -> None:
    """Print one line as it is."""
    console().print(escape(text), soft_wrap=True, highlight=False)


def show_steps(states: Sequence[PlannedStep]) -> None:
    """Print each step with its state and reason, or the number of steps a stage where there are many."""
    if len(states) > _MOST_LINES:
        _show_stages(states)
        return
    table = _table("step", "state", "what", "why")
    for planned in states:
        colour = _COLOURS[planned.state]
        table.add_row(
            planned.step.name,
            f"[{colour}]{planned.state}[/]",
            escape(planned.step.label),
            escape(planned.reason),
        )
    console().print(table)


def _show_stages(states: Sequence[PlannedStep]) -> None:
    counts = Counter((planned.step.stage, planned.state) for planned in states)
    table = _table("stage", "state", "steps")
    for (stage, state), count in counts.items():
        table.add_row(stage, f"[{_COLOURS[state]}]{state}[/]", str(count))
    console().print(table)
    say(f"{len(states)} steps are too many for a list here; `--json` has them all")


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column(first, no_wrap=True)
    for heading in others:
        table.add_column(heading, overflow="fold")
    return table


def show_counts(plan: Plan, states: Sequence[PlannedStep]) -> None:
    """Print how many variants, models and steps there are."""
    counts = Counter[str](planned.state for planned in states)
    num_models = sum(len(row.members) for row in plan.rows if not row.is_reference)
    num_rows = sum(not row.is_reference for row in plan.rows)
    say(
        f"{num_rows} variants, {num_models} trained models, {len(states)} steps: "
        f"{counts['run']} to run, {counts['reuse']} reused, {counts['wait']} running elsewhere"
    )


def show_forecast(expected: Forecast) -> None:
    """Print what the steps to run will cost, and what that rests on; nothing where nothing is to run."""
    if not expected.num_steps:
        return
    is_on_gpus = expected.gpu_hours.high > 0
    devices = (
        f"{expected.devices} {'GPU' if is_on_gpus else 'core'}{'s' if expected.devices > 1 else ''}"
    )
    parts = [f"{show(expected.gpu_hours)} GPU-hours"] if is_on_gpus else []
    parts += [
        f"{show_hours(expected.wall_hours)} on {devices}",
        f"{show(expected.tokens)} tokens",
        f"{show(expected.disk_gib)} GiB on disk",
    ]
    if expected.money is not None:
        parts.append(f"{show(expected.money)} of money")
    basis = ", ".join(f"{name} ({count})" for name, count in expected.basis.items())
    say(f"expected: {'; '.join(parts)}\nby steps: {basis}")


def show_hours(hours: Range) -> str:
    """Return a range of hours in the unit in which it reads best."""
    for unit, factor in (("days", 1 / 24), ("hours", 1.0), ("minutes", 60.0)):
        if hours.middle * factor >= 2:
            return f"{show(hours.times(factor))} {unit}"
    return f"{show(hours.times(3600.0))} seconds"


def show_power(found: Sequence[Detectable]) -> None:
    """Print the smallest differences that the study can show, and what too few seeds leave open."""
    if not found:
        return
    num_seeds = found[0].num_seeds
    seeds = f"{num_seeds} shared seeds" if num_seeds != 1 else "one seed"
    say(f"smallest difference that would be found four times in five, with {seeds}, in points:")
    for one in found:
        shown = "not to be told" if one.difference is None else show(one.difference.times(100))
        units = f", {one.num_queries} queries" if one.num_queries else ""
        basis = f"spread of {one.num_recorded} recorded" if one.num_recorded else "usual spread"
        tasks = f"{one.num_tasks} task{'s' if one.num_tasks > 1 else ''}"
        say(f"  {one.suite}, {one.kind} ({tasks}{units}): {shown} ({basis})")
    if num_seeds < 2:
        say("  with one seed this holds for the models at hand; nothing is said of other seeds")
    if num_seeds < ENOUGH_SEEDS:
        say(f"  fewer than {ENOUGH_SEEDS} seeds hardly show their spread: add `seeds` or `replicates`")


def show_changes(changes: PlanChanges, against: str) -> None:
    """Print what a plan has gained, lost and changed since another one."""
    own = [one for one in changes.changed if one.fields]
    say(
        f"against {against}: {changes.num_same} steps as they were, {len(changes.added)} added, "
        f"{len(changes.removed)} removed, {len(changes.changed)} changed"
    )
    lines = [
        f"changed: {one.before} -> {one.now}: {', '.join(field.describe() for field in one.fields)}"
        for one in own
    ]
    if len(changes.changed) > len(own):
        lines.append(f"changed by their inputs alone: {len(changes.changed) - len(own)} steps")
    lines += [f"added: {name}" for name in changes.added]
    lines += [f"removed: {name}" for name in changes.removed]
    for line in lines[:_MOST_LINES]:
        say(line)
    if len(lines) > _MOST_LINES:
        say(f"... and {len(lines) - _MOST_LINES} more; `--json` has them all")


def show_outcomes(outcomes: Sequence[Outcome]) -> None:
    """Print expectation and outcome, stage by stage."""
    if not outcomes:
        say("nothing was noted before a run: `harness run` notes what it expects")
        return
    table = _table("stage", "steps", "expected", "took", "within the range")
    for one in outcomes:
        table.add_row(
            one.stage,
            str(one.num_steps),
            show_hours(one.expected_seconds.times(1 / 3600)),
            show_hours(Range(one.actual_seconds, one.actual_seconds).times(1 / 3600)),
            f"{one.num_within} of {one.num_steps}",
        )
    console().print(table)
