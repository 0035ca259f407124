"""What a study has committed itself to, checked before anything runs.

Owns when it is checked: `plan` tells, `run` refuses. Finished steps are taken as the store records them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.execution.history import recorded_steps
from harness.execution.noise import recorded_noise
from harness.execution.states import PlannedStep, made_before
from harness.execution.store import ArtifactStore
from harness.identity.provenance import describe_machine, package_versions
from harness.plan import Plan
from harness.plan.comparability import Confounded, check_comparable, confounded_pairs
from harness.plan.costs import StepCost, step_costs
from harness.plan.environments import Made
from harness.plan.forecast import Forecast, forecast
from harness.plan.power import Detectable, detectable_differences
from harness.study import Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What the steps of a study that are not done are expected to cost."""

    costs: Mapping[str, StepCost]
    to_run: frozenset[str]
    forecast: Forecast


def what_it_can_tell(study: Study, plan: Plan, store: ArtifactStore) -> list[Detectable]:
    """Return the smallest differences that the study can show, by what the store has recorded."""
    tasks = {task for suite in study.suites.values() for task in suite.tasks}
    return detectable_differences(study, plan, recorded_noise(store, tasks))


def check_comparisons(study: Study, plan: Plan, planned: Sequence[PlannedStep]) -> list[Confounded]:
    """Return what compared rows differ in beside their factor, all of it allowed.

    Raises:
        StudyError: If some is not allowed.
    """
    now = Made(versions=package_versions(), machine=describe_machine(threads=1))
    pairs = confounded_pairs(study, plan, made=made_before(planned), now=now)
    check_comparable(study, pairs)
    return pairs


def look_ahead(
    study: Study, plan: Plan, planned: Sequence[PlannedStep], store: ArtifactStore
) -> Outlook:
    """Return what the steps that are not done are expected to cost, by what the store has recorded."""
    recorded = recorded_steps(store, (step.stage for step in plan.steps.values()))
    costs = step_costs(plan, recorded=recorded, teraflops=study.resources.teraflops)
    # What another process runs now is not this run's to pay for.
    to_run = frozenset(one.step.fingerprint for one in planned if one.state == "run")
    return Outlook(costs=costs, to_run=to_run, forecast=forecast(plan, costs, to_run, study))
