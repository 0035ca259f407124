"""What each row of a study was made from, as text that goes with its records.

Owns the flat form of a row's configuration, read from the payloads of the steps that made its models,
and the quantities that follow from it. The rule: it is what the fingerprints are the hashes of, stage
by stage and field by field, so that two rows' differences can be told from a clone, without the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.plan import Plan, PlanRow

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
    for member in row.members[:1]:
        for name in _lineage(plan, member.model):
            step = plan.steps[name]
            if step.stage == "reconstruct":
                found |= _of_stage("stage I", step.config["reconstruction"])
            if step.stage == "contrast":
                settings = step.config["contrastive"]
                found |= _of_stage("stage II", settings)
                negatives = (
                    settings["batch_size"] - 1 + settings["batch_size"] * settings["num_negatives"]
                )
                found["negatives a query"] = str(negatives)
            if step.stage == "base":
                found["dtype"] = str(step.config["model"]["dtype"])
    return found


def split_shared(configs: Sequence[Mapping[str, str]]) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Return the fields in which all non-empty configurations agree, and what each has beyond them."""
    whole = [config for config in configs if config]
    first = whole[0] if whole else {}
    shared = {
        field: value
        for field, value in first.items()
        if all(config.get(field) == value for config in whole)
    }
    # A row must keep one field at least, else it would look like a line that was made from nothing.
    if any(config == shared for config in whole):
        shared.pop(next(iter(shared)))
    return shared, [
        {field: value for field, value in config.items() if field not in shared} for config in configs
    ]


def _of_stage(stage: str, settings: Mapping[str, Any]) -> dict[str, str]:
    return {
        f"{stage} optimiser steps": str(settings["steps"]),
        f"{stage} pairs a step": str(settings["batch_size"]),
        f"{stage} pairs seen": str(settings["steps"] * settings["batch_size"]),
    }


def _lineage(plan: Plan, name: str) -> list[str]:
    """Return the steps behind a model, itself first; none for a line without a model."""
    found = [name] if name else []
    for step in found:
        found.extend(needed for needed in plan.steps[step].inputs.values() if needed not in found)
    return found


def _describe_model(plan: Plan, model: str, *, seed: int | None) -> dict[str, str]:
    flat: dict[str, str] = {}
    for name in _lineage(plan, model):
        step = plan.steps[name]
        config = dict(step.config)
        if config.get(_OF_A_MEMBER) == seed:
            config.pop(_OF_A_MEMBER, None)
        flat |= flatten(config, f"{step.stage}.")
        flat[f"{step.stage}.version"] = str(step.payload["version"])
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
