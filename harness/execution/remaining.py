"""How long the rest of a plan takes on what its runs may use.

Owns the lower bound that a queue comes close to: the longest chain of steps, and all work spread evenly
over the processors or devices. The rule: it is a range, since the durations of its steps are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from harness.execution.noted import NotedPlan
from harness.execution.runs import Run
from harness.plan.ranges import Range


def remaining(
    plan: NotedPlan, todo: Mapping[str, Range], *, spent: Mapping[str, float], runs: Iterable[Run]
) -> Range:
    """Return how long the rest takes.

    Args:
        plan: The steps.
        todo: Fingerprint -> what a step was expected to take; steps that are not named take nothing.
        spent: Fingerprint -> seconds for which it has been running.
        runs: What works on it; as if by one processor or device where nothing does.
    """
    listed = list(runs)
    room = (sum(run.cpus for run in listed), sum(run.gpus for run in listed))
    low = {name: max(0.0, time.low - spent[name]) for name, time in todo.items()}
    high = {name: max(0.0, time.high - spent[name]) for name, time in todo.items()}
    return Range(_wall(plan, low, room), _wall(plan, high, room))


def _wall(plan: NotedPlan, seconds: Mapping[str, float], room: tuple[float, float]) -> float:
    steps = [plan.steps[name] for name in seconds]
    on_devices = [step for step in steps if step.gpus > 0]
    work = {
        "gpus": math.fsum(seconds[step.fingerprint] * step.gpus for step in on_devices),
        "cpus": math.fsum(seconds[step.fingerprint] * step.cpus for step in steps if step.gpus == 0),
    }
    # Nobody counts the room of a run in one process, which takes one step after the other.
    cpus, gpus = (each if 1 <= each < math.inf else 1.0 for each in room)
    return max(_chain(plan, seconds), work["gpus"] / gpus, work["cpus"] / cpus)


def _chain(plan: NotedPlan, seconds: Mapping[str, float]) -> float:
    """Return the longest chain of steps that wait for each other."""
    ends: dict[str, float] = {}
    for name, step in plan.steps.items():
        begins = max((ends[needed] for needed in step.needs), default=0.0)
        ends[name] = begins + seconds.get(name, 0.0)
    return max(ends.values(), default=0.0)
