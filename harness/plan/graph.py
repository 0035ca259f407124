"""Steps, and the graph that they form.

Owns `Step` and `Plan`. The rule: a step's fingerprint covers its stage, that stage's VERSION, its
resolved configuration and its inputs' fingerprints, and nothing else; equal fingerprints are one
step, whichever variants, studies or users ask for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from harness.identity import canonical_json, fingerprint_of_text, join_canonical
from harness.identity.canonical import to_plain
from harness.stages import STAGES
from harness.study.document import Resources


class Step(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One node of the plan: one run of one stage."""

    stage: str
    config: Mapping[str, Any]
    """The resolved configuration, as plain JSON values."""
    inputs: Mapping[str, str]
    """Role -> fingerprint of the step that fills it."""
    fingerprint: str
    label: str
    """What the step makes, for people."""
    resources: Resources
    bindings: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Paths and names that are not part of the identity."""
    after: tuple[str, ...] = ()
    """Fingerprints of steps that only spare it work; not part of the identity."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Fingerprints of all steps that must have ended before it starts."""
        return (*self.inputs.values(), *self.after)

    @property
    def payload(self) -> dict[str, Any]:
        """What the fingerprint is the hash of; kept beside the artifact."""
        return {
            "stage": self.stage,
            "version": STAGES[self.stage].version,
            "config": dict(self.config),
            "inputs": dict(self.inputs),
        }

    @property
    def name(self) -> str:
        """Short name that commands take: stage and first digits of the fingerprint."""
        return f"{self.stage}-{self.fingerprint[:12]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A step's resolved configuration with its canonical text, which many steps may share."""

    plain: Mapping[str, Any]
    """Plain JSON values; never changed."""
    text: str
    """The same as canonical JSON."""

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Configuration:
        """Return a configuration as plain values.

        Raises:
            TypeError: If it holds a value without a stable form, such as a path.
        """
        return cls.join({key: (plain := to_plain(config[key]), canonical_json(plain)) for key in config})

    @classmethod
    def join(cls, parts: Mapping[str, tuple[Any, str]]) -> Configuration:
        """Return the configuration whose fields are given as plain values with their canonical text."""
        return cls(
            plain={key: plain for key, (plain, _) in parts.items()},
            text=join_canonical({key: text for key, (_, text) in parts.items()}),
        )


def make_step(
    stage: str,
    config: Mapping[str, Any] | Configuration,
    *,
    label: str,
    resources: Resources,
    inputs: Mapping[str, Step] | None = None,
    bindings: Mapping[str, str] | None = None,
    after: tuple[str, ...] = (),
) -> Step:
    """Return a step with its fingerprint.

    Raises:
        TypeError: If the configuration holds a value without a stable form, such as a path.
    """
    if not isinstance(config, Configuration):
        config = Configuration.of(config)
    roles = {role: inputs[role].fingerprint for role in sorted(inputs)} if inputs else {}
    # What `canonical_json` makes of `Step.payload`, without writing the shared parts again.
    named = ",".join([f'"{role}":"{name}"' for role, name in roles.items()])
    text = (
        f'{{"config":{config.text},"inputs":{{{named}}},'
        f'"stage":"{stage}","version":{STAGES[stage].version}}}'
    )
    return Step(
        stage=stage,
        config=config.plain,
        inputs=roles,
        fingerprint=fingerprint_of_text(text),
        label=label,
        resources=resources,
        bindings=bindings or {},
        after=after,
    )


class Member(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One model of a row: a variant with one seed, and its evaluation."""

    slug: str
    model: str
    """Fingerprint of the step that makes the model; empty for lexical search."""
    seed: int | None
    evaluations: Mapping[tuple[str, str], str]
    """(suite, task) -> fingerprint of the step that scores it."""


class PlanRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One line of the study's table and the steps that fill it."""

    label: str
    levels: Mapping[str, str]
    is_reference: bool
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All steps of a study, each once, inputs before what needs them."""

    study: str
    steps: Mapping[str, Step]
    """Fingerprint -> step, in an order in which they can run."""
    rows: tuple[PlanRow, ...]

    def lineage(self, name: str) -> list[str]:
        """Return a step and everything that it is made from, nearest first; nothing for no step."""
        found = [name] if name else []
        for step in found:
            found.extend(needed for needed in self.steps[step].inputs.values() if needed not in found)
        return found

    def urgencies(self, seconds: Mapping[str, float] | None = None) -> dict[str, float]:
        """Return fingerprint -> seconds of the longest chain of steps that starts with it.

        Running the most urgent ready step first keeps the critical path busy.

        Args:
            seconds: Fingerprint -> expected duration, nothing for what is not named; None for what the
                configurations and mteb's descriptive statistics tell.
        """
        if seconds is None:
            # Costs are made of plans: known here only when asked for.
            from harness.plan.costs import step_costs

            seconds = {name: cost.seconds.middle for name, cost in step_costs(self).items()}
        found = dict.fromkeys(self.steps, 0.0)
        # What needs a step comes after it, so that its longest chain is known when its turn comes.
        for name in reversed(found):
            chain = found[name] + seconds.get(name, 0.0)
            found[name] = chain
            for needed in self.steps[name].needs:
                if chain > found[needed]:
                    found[needed] = chain
        return found


def merge_steps(steps: Iterable[Step]) -> dict[str, Step]:
    """Return the steps by fingerprint, each once, in their first order."""
    merged: dict[str, Step] = {}
    for step in steps:
        merged.setdefault(step.fingerprint, step)
    return merged
