"""Steps that were planned or made before, and how one step differs from another.

Owns `Past`, the payloads of such steps by fingerprint, and the differences of two of them field by
field, down to the inputs from which they come. The rule: a payload is taken as it was written, VERSION
included, never made again by today's code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.plan.graph import Plan, PlanRow

Payload = Mapping[str, Any]
"""What a fingerprint is the hash of: `stage`, `version`, `config` and `inputs`."""
NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field in which a step differs from an earlier one."""

    field: str
    """Dotted path; `version` is that of the stage's code."""
    now: str
    before: str

    def describe(self) -> str:
        """Return the field with both values."""
        return f"{self.field} {self.now} against {self.before}"


@dataclass(slots=True, kw_only=True)
class Past:
    """Steps by fingerprint, with what each is for."""

    payloads: Mapping[str, Payload]
    roles: Mapping[tuple[str, ...], str] = field(default_factory=dict)
    """(row, seed, place in that row) -> fingerprint, where they come from a plan."""
    labels: Mapping[str, str] = field(default_factory=dict)
    _deep: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def of_plan(cls, plan: Plan) -> Past:
        """Return the steps of a plan."""
        return cls(
            payloads={name: step.payload for name, step in plan.steps.items()},
            roles=dict(_roles(plan)),
            labels={name: step.label for name, step in plan.steps.items()},
        )

    def name(self, step: str) -> str:
        """Return a step's short name; the start of its fingerprint where it is not known."""
        payload = self.payloads.get(step)
        return f"{payload['stage']}-{step[:12]}" if payload else step[:12]

    def deep(self, step: str) -> dict[str, str]:
        """Return all fields that decide a step's output: its own, and below each role its inputs'."""
        if step not in self._deep:
            payload = self.payloads.get(step)
            found = {"fingerprint": step} if payload is None else own_fields(payload)
            for role, needed in (payload or {"inputs": {}})["inputs"].items():
                found |= {f"{role}/{name}": value for name, value in self.deep(needed).items()}
            self._deep[step] = found
        return self._deep[step]

    def nearest(self, fields: Mapping[str, str], *, stage: str, apart: str) -> str | None:
        """Return the step of a stage with the fewest other fields; the first fingerprint among equals.

        Args:
            fields: Of the step in question, as `deep` gives them.
            stage: Its stage.
            apart: Its own fingerprint, which is no answer.
        """
        names = [
            name
            for name, payload in self.payloads.items()
            if payload["stage"] == stage and name != apart
        ]
        return min(names, key=lambda name: (_distance(fields, self.deep(name)), name), default=None)


def own_fields(payload: Payload) -> dict[str, str]:
    """Return the configuration of a step as dotted path -> text, and its stage's VERSION."""
    return {"version": str(payload["version"]), **dict(_flat("", payload["config"]))}


def own_differences(payload: Payload, before: Payload) -> list[Difference]:
    """Return the fields of a step's own configuration that differ from an earlier step's."""
    mine, theirs = own_fields(payload), own_fields(before)
    return [
        Difference(field=name, now=mine.get(name, NONE), before=theirs.get(name, NONE))
        for name in dict.fromkeys((*mine, *theirs))
        if mine.get(name) != theirs.get(name)
    ]


def _distance(mine: Mapping[str, str], theirs: Mapping[str, str]) -> int:
    return len(mine.items() ^ theirs.items())


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else key, inner)
    elif isinstance(value, list | tuple):
        yield prefix, ", ".join(map(str, value))
    else:
        yield prefix, str(value)


def _roles(plan: Plan) -> Iterator[tuple[tuple[str, ...], str]]:
    for row in plan.rows:
        yield from _roles_of_row(plan, row)


def _roles_of_row(plan: Plan, row: PlanRow) -> Iterator[tuple[tuple[str, ...], str]]:
    for member in row.members:
        seed = str(member.seed)
        counts: dict[str, int] = {}
        for name in plan.lineage(member.model):
            stage = plan.steps[name].stage
            counts[stage] = counts.get(stage, 0) + 1
            yield (row.label, seed, stage, str(counts[stage])), name
        for (suite, task), name in member.evaluations.items():
            yield (row.label, seed, suite, task), name
            for role, needed in plan.steps[name].inputs.items():
                if role != "model":
                    yield (row.label, seed, suite, task, role), needed
