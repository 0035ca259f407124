"""What `harness plan` answers: a study's plan, with what it costs and what it can tell.

Owns the order in which a plan is made, checked and shown. The rule: nothing is run and nothing is
written. How it looks is left to `plan_text`, and what was before to `planning_past`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.cli import plan_text
from harness.cli.commitments import Outlook, check_comparisons, look_ahead, what_it_can_tell
from harness.cli.mirroring import check_plan, chosen_mirrors
from harness.cli.options import print_json
from harness.cli.tracking import check_tracking
from harness.execution.homes import open_store
from harness.execution.states import PlannedStep, plan_states
from harness.execution.store import ArtifactStore
from harness.plan import Plan, compile_plan
from harness.plan.comparability import Confounded
from harness.plan.forecast import over_budget
from harness.plan.past import Past
from harness.study import Study, find_study, load_study


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What `harness plan` is asked."""

    study: str
    profile: str | None
    is_actual: bool
    """Whether expectations are held against what finished steps took."""
    why: str | None
    """A step whose reasons are wanted."""
    against: str | None
    """Another plan that this one is compared with."""
    home: Path | None
    mirror: list[Path] | None


def answer(asked: Question, *, as_json: bool) -> None:
    """Print the answer.

    Raises:
        HarnessError: If the study, its comparisons, mirrors or trackers do not hold.
    """
    path = find_study(asked.study)
    loaded = load_study(path, profile=asked.profile)
    plan = compile_plan(loaded)
    store = open_store(asked.home)
    states = plan_states(plan, store)
    if asked.is_actual or asked.why is not None or asked.against is not None:
        # The past is long, and most who plan do not ask for it.
        from harness.cli import planning_past

        planning_past.answer(asked, path, plan, states, store, as_json=as_json)
        return
    check_plan(asked.study, states, chosen_mirrors(asked.mirror, loaded), profile=asked.profile)
    check_tracking(states)
    _show_plan(loaded, plan, states, store, as_json=as_json)


def _show_plan(
    study: Study, plan: Plan, states: Sequence[PlannedStep], store: ArtifactStore, *, as_json: bool
) -> None:
    confounded = check_comparisons(study, plan, states)
    outlook = look_ahead(study, plan, states, store)
    over = over_budget(study, outlook.forecast)
    power = what_it_can_tell(study, plan, store)
    if as_json:
        found = _as_json(study, plan, states, confounded, outlook)
        print_json({**found, "power": [asdict(one) for one in power]})
        return
    plan_text.show_steps(states)
    plan_text.show_counts(plan, states)
    for one in confounded:
        plan_text.say(f"allowed, and marked in tables: {one.describe()}")
    plan_text.show_forecast(outlook.forecast)
    for text in over:
        plan_text.say(text)
    plan_text.show_power(power)


def _as_json(
    study: Study,
    plan: Plan,
    states: Sequence[PlannedStep],
    confounded: Sequence[Confounded],
    outlook: Outlook,
) -> dict[str, Any]:
    counts = Counter[str](planned.state for planned in states)
    roles: dict[str, list[tuple[str, ...]]] = {name: [] for name in plan.steps}
    for role, name in Past.of_plan(plan).roles.items():
        roles[name].append(role)
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
                "version": planned.step.payload["version"],
                "roles": roles[planned.step.fingerprint],
                "expected": asdict(outlook.costs[planned.step.fingerprint]),
            }
            for planned in states
        ],
        "confounded": [asdict(one) for one in confounded],
        "forecast": asdict(outlook.forecast),
        "budget": asdict(study.budget),
    }
