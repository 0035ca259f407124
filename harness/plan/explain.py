"""Why a step would run: what differs from the step before that is most like it.

Owns the chain from a step to the fields that caused it. The rule: an input that differs is explained in
turn, down to a step that differs in its own fields; these are the causes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.errors import StudyError, did_you_mean
from harness.plan.graph import Plan, Step
from harness.plan.past import Difference, Past, own_differences

_MAX_SHOWN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """How one step differs from an earlier one."""

    step: str
    """Short name."""
    before: str | None
    """Short name of the earlier step; None where no step of this stage was there."""
    fields: tuple[Difference, ...]
    """Of its own configuration."""
    inputs: tuple[tuple[str, Explanation], ...]
    """Role -> explanation, of the inputs that differ."""

    def causes(self) -> Iterator[tuple[str, Difference]]:
        """Yield the fields that everything comes from, each with the step that has it."""
        for difference in self.fields:
            yield self.step, difference
        for _, inner in self.inputs:
            yield from inner.causes()

    def lines(self, *, depth: int = 0) -> Iterator[str]:
        """Yield the chain as indented lines."""
        indent = "  " * depth
        if self.before is None:
            yield f"{indent}{self.step}: no such step was there before"
            return
        yield f"{indent}{self.step}, most like {self.before}, differs in"
        for difference in self.fields:
            yield f"{indent}  {difference.describe()}"
        for role, inner in self.inputs:
            yield f"{indent}  its input {role}:"
            yield from inner.lines(depth=depth + 2)


def find_step(plan: Plan, name: str) -> Step:
    """Return the step that a short name, or the start of a fingerprint, means.

    Raises:
        StudyError: If there is none or several.
    """
    found = [
        step
        for step in plan.steps.values()
        if step.name == name or step.fingerprint.startswith(name) or step.name.startswith(name)
    ]
    if len(found) == 1:
        return found[0]
    cure = f"`harness plan {plan.study}` lists the steps"
    if found:
        some = ", ".join(step.name for step in found[:_MAX_SHOWN])
        raise StudyError(f"{name!r} is the start of {len(found)} steps: {some} ...", cure=cure)
    names = [step.name for step in plan.steps.values()]
    stages = {step.stage for step in plan.steps.values()}
    hint = did_you_mean(name, names) or did_you_mean(name.partition("-")[0], stages)
    raise StudyError(f"no step {name!r} in this plan.{hint}", cure=cure)


def explain(plan: Plan, step: Step, past: Past) -> Explanation:
    """Return how a step differs from the one most like it that was planned or made before."""
    mine = Past.of_plan(plan)
    nearest = past.nearest(mine.deep(step.fingerprint), stage=step.stage, apart=step.fingerprint)
    return _explain(mine, step.fingerprint, past, nearest)


def _explain(mine: Past, step: str, past: Past, before: str | None) -> Explanation:
    payload = mine.payloads[step]
    earlier = past.payloads.get(before) if before is not None else None
    if before is None or earlier is None:
        return Explanation(step=mine.name(step), before=None, fields=(), inputs=())
    inputs = [
        (role, _explain(mine, needed, past, earlier["inputs"].get(role)))
        for role, needed in payload["inputs"].items()
        if earlier["inputs"].get(role) != needed
    ]
    return Explanation(
        step=mine.name(step),
        before=past.name(before),
        fields=tuple(own_differences(payload, earlier)),
        inputs=tuple(inputs),
    )
