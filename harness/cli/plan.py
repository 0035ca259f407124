"""`harness plan`: what would run, what is reused and why, what it costs and what may be compared."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from harness.cli import plan_text
from harness.cli.commitments import Outlook, check_comparisons, look_ahead
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
from harness.execution.expectations import hold_against, read_expectations
from harness.execution.states import PlannedStep, plan_states
from harness.execution.store import ArtifactStore, default_home
from harness.plan import Plan, compile_plan
from harness.plan.comparability import Confounded
from harness.plan.forecast import over_budget
from harness.study import Study, find_study, load_study


def command(
    study: StudyArgument,
    profile: ProfileOption = None,
    actual: Annotated[
        bool,
        typer.Option(
            "--actual", help="Hold what was expected of finished steps against what they took."
        ),
    ] = False,
    home: HomeOption = None,
    mirror: MirrorOption = None,
    json: JsonOption = False,
) -> None:
    """Show the steps of a study with their state (run, reuse, wait) and the reason, and what they cost.

    Nothing is run and nothing is written. What a mirror lacks is told here, a tracker whose library is
    not installed, and rows that differ in more than the factor along which they are compared.

    Examples: `harness plan quickstart`, `harness plan quickstart --actual`
    """
    # Large plans are many small objects that live to the end: collecting them again and again is idle.
    gc.disable()
    loaded = load_study(find_study(study), profile=profile)
    plan = compile_plan(loaded)
    store = ArtifactStore(home or default_home())
    states = plan_states(plan, store)
    if actual:
        _show_actual(states, store, plan.study, as_json=json)
        return
    check_plan(study, states, chosen_mirrors(mirror, loaded), profile=profile)
    check_tracking(states)
    confounded = check_comparisons(loaded, plan, states)
    outlook = look_ahead(loaded, plan, states, store)
    over = over_budget(loaded, outlook.forecast)
    if json:
        print_json(_as_json(loaded, plan, states, confounded, outlook))
        return
    plan_text.show_steps(states)
    plan_text.show_counts(plan, states)
    for one in confounded:
        plan_text.say(f"allowed, and marked in tables: {one.describe()}")
    plan_text.show_forecast(outlook.forecast)
    for text in over:
        plan_text.say(text)


def _show_actual(
    states: Sequence[PlannedStep], store: ArtifactStore, study: str, *, as_json: bool
) -> None:
    outcomes = hold_against(states, read_expectations(store.study_folder(study)))
    if as_json:
        print_json({"study": study, "stages": [asdict(one) for one in outcomes]})
        return
    plan_text.show_outcomes(outcomes)


def _as_json(
    study: Study,
    plan: Plan,
    states: Sequence[PlannedStep],
    confounded: Sequence[Confounded],
    outlook: Outlook,
) -> dict[str, Any]:
    counts = Counter[str](planned.state for planned in states)
    return {
        "study": plan.study,
        "counts": {state: counts[state] for state in ("run", "reuse", "wait")},
        "variants": [
            {
                "label": row.label,
                "levels": dict(row.levels),
                "seeds": [member.seed for member in row.members],
            }
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
                "expected": asdict(outlook.costs[planned.step.fingerprint]),
            }
            for planned in states
        ],
        "confounded": [asdict(one) for one in confounded],
        "forecast": asdict(outlook.forecast),
        "budget": asdict(study.budget),
    }
