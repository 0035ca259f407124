"""What follows from a row's configuration without standing in it.

Owns the derived quantities: batch, negatives a query, optimiser steps, pairs and tokens seen, number
format. The rule: tables and the guard of comparisons use these and no others, so that they agree on what
is alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.plan.graph import Plan, PlanRow

_PLACES = {"reconstruct": "stage I", "contrast": "stage II"}
_SETTINGS = ("reconstruction", "contrastive")


def derive_quantities(plan: Plan, row: PlanRow) -> dict[str, str]:
    """Return what follows from a row's configuration and must be alike where rows are compared."""
    found: dict[str, str] = {}
    names = plan.lineage(row.members[0].model)
    for name in reversed(names):
        step = plan.steps[name]
        settings = next((step.config[key] for key in _SETTINGS if key in step.config), None)
        if settings is not None:
            place = _PLACES[step.stage] if _is_last(plan, names, name) else "stage 0"
            found |= _of_stage(place, settings)
            # Nobody knows before the training which step that is.
            if settings.get("keep") == "best":
                found[f"{place} result"] = "the best step by held-out loss"
            if "validation" in step.config:
                found[f"{place} held out"] = _held_out(step.config["validation"])
        if step.stage == "base":
            found["dtype"] = str(step.config["model"]["dtype"])
            found["tokens a text at most"] = str(step.config["model"]["max_length"])
    return found


def differing_quantities(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return the quantities in which two rows differ, with both values; `none` where one has it not."""
    return {
        name: (one.get(name, "none"), other.get(name, "none"))
        for name in dict.fromkeys((*other, *one))
        if one.get(name) != other.get(name)
    }


def _of_stage(place: str, settings: Mapping[str, Any]) -> dict[str, str]:
    steps, batch = settings["steps"], settings["global_batch"]
    negatives = settings.get("num_negatives", 0)
    longest = settings["query_length"] + (1 + negatives) * settings["document_length"]
    found = {
        f"{place} optimiser steps": str(steps),
        f"{place} pairs a step": str(batch),
        f"{place} pairs seen": str(steps * batch),
        f"{place} tokens seen at most": str(steps * batch * longest),
    }
    if "num_negatives" in settings:
        # The other pairs' documents, and the hard negatives of all pairs.
        found[f"{place} negatives a query"] = str(batch - 1 + batch * negatives)
    return found


def _held_out(validation: Mapping[str, Any]) -> str:
    count, share = validation["pairs"], validation["share"]
    return f"{count} pairs" if share is None else f"{share} of the pairs"


def _is_last(plan: Plan, names: Sequence[str], name: str) -> bool:
    """Return whether a step is the last of its kind on the way to the model."""
    kind = plan.steps[name].stage
    return next(other for other in names if plan.steps[other].stage == kind) == name
