"""What a study's plan has gained, lost and changed since another plan.

Owns the comparison of two plans. The rule: a step is the same if its fingerprint is; else it has
changed if a row, seed and place had another step before, and only the fields of its own configuration
are its own change.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.plan.past import Difference, Past, own_differences


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A step that took the place of another."""

    before: str
    now: str
    fields: tuple[Difference, ...]
    """Of its own; none where it only follows from its inputs."""
    inputs: tuple[str, ...]
    """Short names of the inputs that are not those of before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanChanges:
    """Two plans side by side; steps by short name."""

    num_same: int
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[Change, ...]


def compare_plans(before: Past, now: Past) -> PlanChanges:
    """Return what became of the steps of one plan in another."""
    old = [name for name in before.payloads if name not in now.payloads]
    new = [name for name in now.payloads if name not in before.payloads]
    taken: dict[str, str] = {}
    left = set(old)
    wanted = set(new)
    for role, name in now.roles.items():
        earlier = before.roles.get(role)
        if name in wanted and name not in taken and earlier in left:
            taken[name] = earlier
            left.discard(earlier)
    return PlanChanges(
        num_same=len(now.payloads) - len(new),
        added=tuple(now.name(name) for name in new if name not in taken),
        removed=tuple(before.name(name) for name in old if name in left),
        changed=tuple(_change(before, taken[name], now, name) for name in new if name in taken),
    )


def _change(before: Past, old: str, now: Past, new: str) -> Change:
    payload, earlier = now.payloads[new], before.payloads[old]
    return Change(
        before=before.name(old),
        now=now.name(new),
        fields=tuple(own_differences(payload, earlier)),
        inputs=tuple(
            now.name(needed)
            for role, needed in payload["inputs"].items()
            if earlier["inputs"].get(role) != needed
        ),
    )
