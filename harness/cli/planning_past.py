"""What `harness plan` answers of the past: why a step is new, what changed, what was expected.

Owns the choice between these three. The rule: nothing is run and nothing is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli import plan_text
from harness.cli.against import read_against
from harness.cli.options import print_json
from harness.execution.expectations import hold_against, read_expectations
from harness.execution.history import past_of
from harness.execution.states import PlannedStep
from harness.execution.store import ArtifactStore
from harness.plan import Plan, Step
from harness.plan.changes import PlanChanges, compare_plans
from harness.plan.explain import explain, find_step
from harness.plan.past import Past

if TYPE_CHECKING:
    from harness.cli.planning import Question


def answer(
    asked: Question,
    path: Path,
    plan: Plan,
    states: Sequence[PlannedStep],
    store: ArtifactStore,
    *,
    as_json: bool,
) -> None:
    """Print the answer.

    Args:
        asked: For what was expected, for a step's reasons, or for a comparison.
        path: Of the study.
        plan: Its plan.
        states: Of the plan's steps.
        store: Where artifacts are.
        as_json: Whether it is one JSON object.

    Raises:
        HarnessError: If there is no such step, or nothing to compare with.
    """
    if asked.is_actual:
        _show_actual(states, store, plan.study, as_json=as_json)
        return
    past = None
    if asked.against is not None:
        past = read_against(asked.against, study=path, profile=asked.profile)
    if asked.why is not None:
        _show_why(plan, find_step(plan, asked.why), states, past or past_of(store), as_json=as_json)
    elif past is not None:
        _show_changes(compare_plans(past, Past.of_plan(plan)), str(asked.against), as_json=as_json)


def _show_actual(
    states: Sequence[PlannedStep], store: ArtifactStore, study: str, *, as_json: bool
) -> None:
    outcomes = hold_against(states, read_expectations(store.location.below(f"studies/{study}")))
    if as_json:
        print_json({"study": study, "stages": [asdict(one) for one in outcomes]})
        return
    plan_text.show_outcomes(outcomes)


def _show_why(
    plan: Plan, step: Step, states: Sequence[PlannedStep], past: Past, *, as_json: bool
) -> None:
    planned = next(one for one in states if one.step is step)
    found = explain(plan, step, past)
    if as_json:
        causes = [{"step": name, **asdict(difference)} for name, difference in found.causes()]
        state = {"state": planned.state, "reason": planned.reason}
        print_json({"study": plan.study, **state, "why": asdict(found), "causes": causes})
        return
    plan_text.say(f"{step.name} ({step.label}): {planned.state}, {planned.reason}")
    if planned.state != "reuse":
        for line in found.lines():
            plan_text.say(line)


def _show_changes(changes: PlanChanges, against: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"against": against, **asdict(changes)})
        return
    plan_text.show_changes(changes, against)
