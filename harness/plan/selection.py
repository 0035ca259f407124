"""Part of a plan, by names with wildcards.

Owns what `--only` and `--except` mean. The rule: what is kept can run, so whatever a kept step needs is
kept too, and whatever needs a step that is left out is left out as well.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from fnmatch import fnmatchcase

from harness.errors import HarnessError, did_you_mean
from harness.plan.graph import Member, Plan, PlanRow, Step


def select_steps(plan: Plan, *, only: Collection[str] = (), without: Collection[str] = ()) -> Plan:
    """Return a plan with some of its steps.

    A pattern is compared with a step's stage, name, label and fingerprint, and with a variant's label,
    slug and levels (`factor=level`); `*`, `?` and `[...]` are wildcards. A variant stands for all steps
    that it needs; left out, for those that no other variant needs.

    Args:
        plan: All steps.
        only: Keep what matches one of these, and what that needs; everything when empty.
        without: Leave out what matches one of these, and what needs it.

    Raises:
        HarnessError: If a pattern matches nothing, or nothing is left.
    """
    kept = set(plan.steps)
    if only:
        kept = _with_inputs(plan, {name for pattern in only for name in _matching(plan, pattern)})
    left_out: set[str] = set()
    for pattern in without:
        left_out |= _matching(plan, pattern, alone=True)
    for name, step in plan.steps.items():
        if not left_out.isdisjoint(step.needs):
            left_out.add(name)
    steps = {name: step for name, step in plan.steps.items() if name in kept - left_out}
    if not steps:
        raise HarnessError(
            "--only and --except leave no step", cure="`harness plan` lists steps and variants"
        )
    return replace(plan, steps=steps)


def _matching(plan: Plan, pattern: str, *, alone: bool = False) -> set[str]:
    """Return the steps that a pattern means; of a variant, those of no other one if `alone`."""
    found = {name for name, step in plan.steps.items() if _fits(pattern, _words(step))}
    members = [(row, member) for row in plan.rows for member in row.members]
    chosen = [_fits(pattern, _row_words(row, member)) for row, member in members]
    of_chosen = _steps_of(plan, [m for (_, m), is_in in zip(members, chosen, strict=True) if is_in])
    if alone:
        of_chosen -= _steps_of(
            plan, [m for (_, m), is_in in zip(members, chosen, strict=True) if not is_in]
        )
    found |= of_chosen
    if not found and not any(chosen):
        words = {word for step in plan.steps.values() for word in _words(step)}
        words |= {word for row, member in members for word in _row_words(row, member)}
        raise HarnessError(
            f"no step or variant is called {pattern!r}.{did_you_mean(pattern, words)}",
            cure="`harness plan` lists them; wildcards are *, ? and [...]",
        )
    return found


def _words(step: Step) -> list[str]:
    return [step.stage, step.name, step.label, step.fingerprint]


def _row_words(row: PlanRow, member: Member) -> list[str]:
    return [row.label, member.slug, *(f"{factor}={level}" for factor, level in row.levels.items())]


def _fits(pattern: str, words: Iterable[str]) -> bool:
    return any(fnmatchcase(word, pattern) for word in words)


def _steps_of(plan: Plan, members: Iterable[Member]) -> set[str]:
    ends = {name for member in members for name in (member.model, *member.evaluations.values()) if name}
    return _with_inputs(plan, ends)


def _with_inputs(plan: Plan, names: set[str]) -> set[str]:
    found = set(names)
    for name in reversed(list(plan.steps)):
        if name in found:
            found.update(plan.steps[name].needs)
    return found


def select_after(plan: Plan, names: Collection[str]) -> Plan:
    """Return a plan with some steps, what needs them, and what those need."""
    found = set(names)
    for name, step in plan.steps.items():
        if not found.isdisjoint(step.needs):
            found.add(name)
    found = _with_inputs(plan, found)
    return replace(plan, steps={name: step for name, step in plan.steps.items() if name in found})
