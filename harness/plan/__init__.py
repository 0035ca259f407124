"""Plans: a study's variants as one graph of steps, merged by fingerprint."""

from harness.plan.compile import compile_plan
from harness.plan.graph import Plan, PlanRow, Step

__all__ = ["Plan", "PlanRow", "Step", "compile_plan"]
