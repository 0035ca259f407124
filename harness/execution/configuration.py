"""What each row of a study was made from, as text that goes with its records.

Owns the flat form of a row's configuration, read from the payloads of the steps that made its models.
The rule: it is what the fingerprints are the hashes of, stage
by stage and field by field, so that two rows' differences can be told from a clone, without the store.
"""

from __future__ import annotations

from collections import Counter
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


def _describe_model(plan: Plan, model: str, *, seed: int | None) -> dict[str, str]:
    flat: dict[str, str] = {}
    seen: Counter[str] = Counter()
    for name in plan.lineage(model):
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
