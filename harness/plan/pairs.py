"""The plan of training pairs alone, without any model.

Owns `compile_pairs`. The rule: its steps are those that a study's own plan has for the same pairs.
"""

from __future__ import annotations

from harness.plan.compile import Compiler
from harness.plan.graph import Plan, Step
from harness.study import Study
from harness.study.recipe import DataConfig
from harness.study.training_sets import DEFAULT_PAIRS


def compile_pairs(study: Study, source: str, *, pairs: str = DEFAULT_PAIRS) -> tuple[Plan, Step]:
    """Return the plan of one training source alone, and the step that makes its pairs ready.

    Raises:
        StudyError: When a set of the catalogue has no revision.
    """
    compiler = Compiler(study)
    last = compiler.training_pairs(DataConfig(source=source, pairs=pairs))
    return Plan(study=study.name, steps=compiler.steps, rows=()), last
