"""`harness plan`: what would run, what is reused, and why."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import asdict

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.cli.commitments import check_comparisons
from harness.cli.mirroring import check_plan, chosen_mirrors
from harness.cli.options import (
    HomeOption,
    JsonOption,
    MirrorOption,
    ProfileOption,
    StudyArgument,
    print_json,
)
from harness.cli.tracking import check_tracking
from harness.execution.states import PlannedStep, plan_states
from harness.execution.store import ArtifactStore, default_home
from harness.plan import Plan, compile_plan
from harness.study import find_study, load_study

_COLOURS = {"run": "yellow", "reuse": "green", "wait": "cyan"}


def command(
    study: StudyArgument,
    profile: ProfileOption = None,
    home: HomeOption = None,
    mirror: MirrorOption = None,
    json: JsonOption = False,
) -> None:
    """Show the steps of a study with their state (run, reuse, wait) and the reason.

    Nothing is run and nothing is written. What a mirror lacks is told here, and a tracker whose
    library is not installed.

    Example: `harness plan quickstart`
    """
    loaded = load_study(find_study(study), profile=profile)
    plan = compile_plan(loaded)
    states = plan_states(plan, ArtifactStore(home or default_home()))
    check_plan(study, states, chosen_mirrors(mirror, loaded), profile=profile)
    check_tracking(states)
    confounded = check_comparisons(loaded, plan, states)
    counts = Counter[str](planned.state for planned in states)
    if json:
        print_json({**_as_json(plan, states, counts), "confounded": [asdict(one) for one in confounded]})
        return
    # Piped output keeps whole lines: cutting them to a guessed width would lose data.
    console = Console() if sys.stdout.isatty() else Console(width=200)
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("step", no_wrap=True)
    for heading in ("state", "what", "why"):
        table.add_column(heading, overflow="fold")
    for planned in states:
        colour = _COLOURS[planned.state]
        table.add_row(
            planned.step.name,
            f"[{colour}]{planned.state}[/]",
            escape(planned.step.label),
            escape(planned.reason),
        )
    console.print(table)
    num_models = sum(len(row.members) for row in plan.rows if not row.is_reference)
    num_rows = sum(not row.is_reference for row in plan.rows)
    console.print(
        f"{num_rows} variants, {num_models} trained models, {len(states)} steps: "
        f"{counts['run']} to run, {counts['reuse']} reused, {counts['wait']} running elsewhere"
    )
    for one in confounded:
        console.print(f"allowed, and marked in tables: {escape(one.describe())}")


def _as_json(plan: Plan, states: list[PlannedStep], counts: Counter[str]) -> dict[str, object]:
    return {
        "study": plan.study,
        "counts": {state: counts[state] for state in ("run", "reuse", "wait")},
        "variants": [
            {"label": row.label, "levels": dict(row.levels), "seeds": [m.seed for m in row.members]}
            for row in plan.rows
            if not row.is_reference
        ],
        "steps": [
            {
                "step": planned.step.name,
                "fingerprint": planned.step.fingerprint,
                "stage": planned.step.stage,
                "label": planned.step.label,
                "state": planned.state,
                "reason": planned.reason,
                "inputs": dict(planned.step.inputs),
                "config": planned.step.config,
            }
            for planned in states
        ],
    }
