"""A plan cut short: its models as they are after so many optimiser steps, and their scores.

Owns the steps of a rung. The rule: a model at a rung is an artifact of its own, whose configuration says
where it stops; and since training that goes on from a checkpoint equals training that was never stopped,
the whole training keeps its fingerprint, wherever it went on from.
"""

from __future__ import annotations

from dataclasses import replace

from msgspec import structs

from harness.plan.graph import Member, Plan, PlanRow, Step, make_step
from harness.stages.training import RESUME, UNTIL


def at_rung(plan: Plan, until: int) -> Plan:
    """Return a plan whose models are trained up to a rung, with the same evaluations.

    Args:
        plan: Its models come from stage II.
        until: Optimiser steps of stage II.
    """
    steps: dict[str, Step] = {}
    rows = [
        PlanRow(
            label=f"{row.label} (step {until})",
            levels=row.levels,
            is_reference=row.is_reference,
            members=tuple(_cut(plan, member, until, steps) for member in row.members),
        )
        for row in plan.rows
    ]
    return Plan(study=plan.study, steps=steps, rows=tuple(rows))


def going_on(plan: Plan, folders: dict[str, str]) -> Plan:
    """Return a plan whose models go on from earlier rungs.

    Args:
        plan: Any plan.
        folders: Fingerprint of a model's step -> folder of the same training at an earlier rung.
    """
    steps = dict(plan.steps)
    for name, folder in folders.items():
        step = steps[name]
        steps[name] = structs.replace(step, bindings={**step.bindings, RESUME: folder})
    return replace(plan, steps=steps)


def _cut(plan: Plan, member: Member, until: int, steps: dict[str, Step]) -> Member:
    whole = plan.steps[member.model]
    # Inputs before what needs them, as in the plan itself.
    kept = set(plan.lineage(member.model)) - {member.model}
    steps.update((name, step) for name, step in plan.steps.items() if name in kept)
    model = make_step(
        whole.stage,
        {**whole.config, UNTIL: until},
        label=f"{whole.label}, step {until}",
        resources=whole.resources,
        inputs={role: plan.steps[name] for role, name in whole.inputs.items()},
        bindings=whole.bindings,
    )
    steps[model.fingerprint] = model
    slug = f"{member.slug.removesuffix(member.model[:12])}{model.fingerprint[:12]}"
    evaluations = {}
    for cell, name in member.evaluations.items():
        old = plan.steps[name]
        inputs_of = {
            role: model if needed == member.model else plan.steps[needed]
            for role, needed in old.inputs.items()
        }
        for needed in inputs_of.values():
            steps.setdefault(needed.fingerprint, needed)
        new = make_step(
            old.stage,
            old.config,
            label=f"{slug} on {cell[1]}",
            resources=old.resources,
            inputs=inputs_of,
            bindings={**old.bindings, "slug": slug},
        )
        evaluations[cell] = new.fingerprint
        steps[new.fingerprint] = new
    return Member(slug=slug, model=model.fingerprint, seed=member.seed, evaluations=evaluations)
