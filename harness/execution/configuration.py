"""What each row of a study was made from, as text that goes with its records.

Owns the flat form of a row's configuration, read from the payloads of the steps that made its models,
and the quantities that follow from it. The rule: it is what the fingerprints are the hashes of, stage
by stage and field by field, so that two rows' differences can be told from a clone, without the store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from harness.plan import Plan, PlanRow

_STAGES = {"reconstruct": "stage I", "contrast": "stage II"}
_SETTINGS = ("reconstruction", "contrastive")
_OF_A_MEMBER = "seed"
"""Differs between the members of a row by construction, and is told by the members."""


def describe_row(plan: Plan, row: PlanRow) -> dict[str, str]:
    """Return `stage.dotted.field` -> value over all stages behind a row's models.

    Values in which the members differ are listed with commas; the seed of a stage is left out where it
    is the member's own.
    """
    found: dict[str, dict[str, None]] = {}
    for member in row.members:
        for field, value in _describe_model(plan, member.model, seed=member.seed).items():
            found.setdefault(field, {})[value] = None
    return {field: ", ".join(values) for field, values in sorted(found.items())}


def derive_quantities(plan: Plan, row: PlanRow) -> dict[str, str]:
    """Return what follows from a row's configuration and must be alike where rows are compared."""
    found: dict[str, str] = {}
    names = _lineage(plan, row.members[0].model)
    for name in reversed(names):
        step = plan.steps[name]
        settings = next((step.config[key] for key in _SETTINGS if key in step.config), None)
        if settings is not None:
            place = _STAGES[step.stage] if _is_last(plan, names, name) else "stage 0"
            found |= _of_stage(place, settings)
        if step.stage == "base":
            found["dtype"] = str(step.config["model"]["dtype"])
    return found


def split_shared(configs: Sequence[Mapping[str, str]]) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Return the fields in which all configurations agree, and what each has beyond them."""
    first = configs[0] if configs else {}
    shared = {
        field: value
        for field, value in first.items()
        if all(config.get(field) == value for config in configs)
    }
    return shared, [
        {field: value for field, value in config.items() if field not in shared} for config in configs
    ]


def _of_stage(place: str, settings: Mapping[str, Any]) -> dict[str, str]:
    batch = settings["global_batch"]
    found = {
        f"{place} optimiser steps": str(settings["steps"]),
        f"{place} pairs a step": str(batch),
        f"{place} pairs seen": str(settings["steps"] * batch),
    }
    if "num_negatives" in settings:
        # The other pairs' documents, and the hard negatives of all pairs.
        found[f"{place} negatives a query"] = str(batch - 1 + batch * settings["num_negatives"])
    return found


def _is_last(plan: Plan, names: Sequence[str], name: str) -> bool:
    """Return whether a step is the last of its kind on the way to the model."""
    kind = plan.steps[name].stage
    return next(other for other in names if plan.steps[other].stage == kind) == name


def _lineage(plan: Plan, name: str) -> list[str]:
    """Return the steps behind a model, itself first; none for a line without a model."""
    found = [name] if name else []
    for step in found:
        found.extend(needed for needed in plan.steps[step].inputs.values() if needed not in found)
    return found


def _describe_model(plan: Plan, model: str, *, seed: int | None) -> dict[str, str]:
    flat: dict[str, str] = {}
    seen: Counter[str] = Counter()
    for name in _lineage(plan, model):
        step = plan.steps[name]
        seen[step.stage] += 1
        # Of two steps of one kind, the one nearer to the model has the plain name.
        prefix = step.stage if seen[step.stage] == 1 else f"{step.stage}-{seen[step.stage]}"
        config = dict(step.config)
        if config.get(_OF_A_MEMBER) == seed:
            config.pop(_OF_A_MEMBER, None)
        flat |= flatten(config, f"{prefix}.")
        flat[f"{prefix}.version"] = str(step.payload["version"])
    return flat


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested settings as `dotted.path` -> text; sequences are listed with commas."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        elif isinstance(value, tuple | list):
            flat[prefix + key] = ", ".join(map(str, value))
        else:
            flat[prefix + key] = str(value)
    return flat
