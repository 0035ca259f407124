"""What a run was expected to take, kept so that it can be held against what it took.

Owns `forecast.json` beside a study's records, and the comparison. The rule: the forecast of a step is
the last one before it ran; afterwards it is never changed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.execution.location import Location, located
from harness.plan.ranges import Range, total

if TYPE_CHECKING:
    from harness.execution.states import PlannedStep
    from harness.plan.costs import StepCost

FORECAST_NAME = "forecast.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What one step was expected to take."""

    seconds: Range
    basis: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Steps of one stage, as expected and as they were."""

    stage: str
    num_steps: int
    expected_seconds: Range
    actual_seconds: float
    num_within: int
    """Steps that took what was expected of them, between both ends."""


def note_expectations(
    folder: Path | Location, costs: Mapping[str, StepCost], to_run: Collection[str]
) -> None:
    """Write what the steps that are about to run are expected to take.

    Args:
        folder: The study's folder in the store.
        costs: Fingerprint -> cost.
        to_run: Fingerprints of the steps that are not done; the others keep what was noted before.
    """
    known = read_expectations(folder) | {
        name: Expected(seconds=costs[name].seconds, basis=costs[name].basis) for name in to_run
    }
    text = json.dumps({name: asdict(known[name]) for name in sorted(known)}, indent=1)
    located(folder).write(FORECAST_NAME, f"{text}\n".encode())


def read_expectations(folder: Path | Location) -> dict[str, Expected]:
    """Return fingerprint -> what was expected; nothing where nothing was noted."""
    try:
        found = json.loads(located(folder).read(FORECAST_NAME) or b"{}")
        return {
            name: Expected(seconds=Range(**one["seconds"]), basis=one["basis"])
            for name, one in found.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


def hold_against(planned: Sequence[PlannedStep], expected: Mapping[str, Expected]) -> list[Outcome]:
    """Return expectation and outcome of the steps that have both, one line a stage and one for all."""
    by_stage: dict[str, list[tuple[Range, float]]] = {}
    for one in planned:
        noted = expected.get(one.step.fingerprint)
        if noted is not None and one.record is not None:
            pair = (noted.seconds, one.record.wall_seconds)
            by_stage.setdefault(one.step.stage, []).append(pair)
    outcomes = [_outcome(stage, pairs) for stage, pairs in by_stage.items()]
    if len(outcomes) > 1:
        outcomes.append(_outcome("all", [pair for pairs in by_stage.values() for pair in pairs]))
    return outcomes


def _outcome(stage: str, pairs: Sequence[tuple[Range, float]]) -> Outcome:
    return Outcome(
        stage=stage,
        num_steps=len(pairs),
        expected_seconds=total(seconds for seconds, _ in pairs),
        actual_seconds=math.fsum(actual for _, actual in pairs),
        num_within=sum(seconds.low <= actual <= seconds.high for seconds, actual in pairs),
    )
