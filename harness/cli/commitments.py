"""What a study has committed itself to, checked before anything runs.

Owns when it is checked: by `plan` and by `run`, with what the store records of finished steps.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.execution.states import PlannedStep, made_before
from harness.identity.provenance import describe_machine, package_versions
from harness.plan import Plan
from harness.plan.comparability import Confounded, check_comparable, confounded_pairs
from harness.plan.environments import Made
from harness.study import Study


def check_comparisons(study: Study, plan: Plan, planned: Sequence[PlannedStep]) -> list[Confounded]:
    """Return what compared rows differ in beside their factor, all of it allowed.

    Raises:
        StudyError: If some is not allowed.
    """
    now = Made(versions=package_versions(), machine=describe_machine(threads=1))
    pairs = confounded_pairs(study, plan, made=made_before(planned), now=now)
    check_comparable(study, pairs)
    return pairs
