"""Under which package versions and on which devices the steps of a row were made.

Owns `Made`, what a finished step's record says of its making, and the comparison of two rows by it. The
rule: a step that is not done yet will be made as things are now. Steps that only fetch or cut data are
left out: their bytes are checked otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.identity.provenance import DEVICE
from harness.plan.graph import Plan, PlanRow
from harness.study.commitments import DEVICES, VERSIONS

_DATA_STAGES = frozenset({"download", "source"})
_DEVICE_FACTS = ("system", "machine", DEVICE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """How a step came about."""

    versions: Mapping[str, str]
    """Package -> version."""
    machine: Mapping[str, str | int]
    """As `describe_machine` of `harness.identity.provenance` gives it."""
    seconds: float = 0.0
    num_bytes: int = 0

    def facts(self) -> frozenset[tuple[str, str, str]]:
        """Return (`versions` or `devices`, name, value) of all that rows must be alike in."""
        devices = {name: str(self.machine[name]) for name in _DEVICE_FACTS if name in self.machine}
        return frozenset(
            (kind, name, value)
            for kind, values in ((VERSIONS, self.versions), (DEVICES, devices))
            for name, value in values.items()
        )


@dataclass(slots=True)
class Environments:
    """The environments of a plan's rows.

    Args:
        plan: The plan.
        made: Fingerprint -> making of the steps that are done.
        now: The making of those that are not; None leaves them out.
    """

    plan: Plan
    made: Mapping[str, Made]
    now: Made | None
    _rows: dict[str, frozenset[frozenset[tuple[str, str, str]]]] = field(default_factory=dict)
    _steps: dict[str, frozenset[tuple[str, str, str]]] = field(default_factory=dict)
    are_mixed: bool = field(init=False, default=False)
    """Whether rows can be unlike at all: mostly everything was made in one way."""

    def __post_init__(self) -> None:
        """Read each making once."""
        known: dict[frozenset[tuple[str, str, str]], frozenset[tuple[str, str, str]]] = {}
        for name, making in self.made.items():
            facts = making.facts()
            self._steps[name] = known.setdefault(facts, facts)
        current = set() if self.now is None else {self.now.facts()}
        self.are_mixed = len(known.keys() | current) > 1

    def unlike(self, one: PlanRow, other: PlanRow) -> dict[str, list[str]]:
        """Return `versions` and `devices` -> what two rows differ in, with both values."""
        if not self.are_mixed:
            return {}
        first, second = self._of(one), self._of(other)
        if first == second:
            return {}
        mine, theirs = _by_name(first), _by_name(second)
        found: dict[str, list[str]] = {}
        # What only one side recorded is not known to differ.
        for kind, name in sorted(mine.keys() & theirs.keys()):
            values = [" and ".join(sorted(side[kind, name])) for side in (mine, theirs)]
            if values[0] != values[1]:
                found.setdefault(kind, []).append(f"{name} {values[0]} against {values[1]}")
        return found

    def _of(self, row: PlanRow) -> frozenset[frozenset[tuple[str, str, str]]]:
        if row.label not in self._rows:
            now = frozenset() if self.now is None else self.now.facts()
            steps = self.plan.steps
            self._rows[row.label] = frozenset(
                facts
                for member in row.members
                for name in (*self.plan.lineage(member.model), *member.evaluations.values())
                if steps[name].stage not in _DATA_STAGES and (facts := self._steps.get(name, now))
            )
        return self._rows[row.label]


def _by_name(
    environments: frozenset[frozenset[tuple[str, str, str]]],
) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for facts in environments:
        for kind, name, value in facts:
            found.setdefault((kind, name), set()).add(value)
    return found
