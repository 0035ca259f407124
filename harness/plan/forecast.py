"""What a study will cost, net of what is there already.

Owns the totals over a plan (GPU-hours, wall time, tokens, disk, money), the check of a study's budget,
and which levels the cost hangs on. The rule: totals are sums of the steps' own ranges, of the steps that
would run; a budget is held against the middle of a range.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from harness.errors import StudyError
from harness.plan.costs import StepCost
from harness.plan.graph import Plan
from harness.plan.ranges import Range, total
from harness.plan.schedule import Schedule
from harness.study import Study

_HOUR = 3600.0
_GIB = 2.0**30
_FACTORS_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The cost of the steps of a plan that would run."""

    num_steps: int
    gpu_hours: Range
    core_hours: Range
    """Processor cores, of all steps."""
    wall_hours: Range
    devices: int
    """Over which the wall time is counted."""
    tokens: Range
    disk_gib: Range
    money: Range | None
    """None without a price."""
    basis: Mapping[str, int]
    """What the estimates rest on -> number of steps."""


def forecast(
    plan: Plan, costs: Mapping[str, StepCost], to_run: Collection[str], study: Study
) -> Forecast:
    """Return what the steps `to_run` will cost.

    Args:
        plan: The plan.
        costs: Fingerprint -> cost of each step.
        to_run: Fingerprints of the steps that are not done.
        study: Its resources say how many devices there are and what they cost.
    """
    resources = study.resources
    devices = resources.devices or 1
    names = [name for name in plan.steps if name in to_run]
    # A large plan has few kinds of steps, each with its resources and its cost as one object.
    alike: dict[tuple[int, int], list[str]] = defaultdict(list)
    for name in names:
        alike[id(plan.steps[name].resources), id(costs[name])].append(name)
    kinds = [(plan.steps[some[0]].resources, costs[some[0]], len(some)) for some in alike.values()]
    schedule = Schedule(plan, {name: costs[name].seconds.middle for name in names}, devices=devices)
    wall = Range(
        schedule.length({name: costs[name].seconds.low for name in names}),
        schedule.length({name: costs[name].seconds.high for name in names}),
    )
    gpu_hours = total(cost.seconds.times(count * asked.gpus / _HOUR) for asked, cost, count in kinds)
    price = resources.price_per_gpu_hour
    return Forecast(
        num_steps=len(names),
        gpu_hours=gpu_hours,
        core_hours=total(cost.seconds.times(count * asked.cpus / _HOUR) for asked, cost, count in kinds),
        wall_hours=wall.times(1 / _HOUR),
        devices=devices,
        tokens=total(cost.tokens.times(count) for _, cost, count in kinds),
        disk_gib=total(cost.num_bytes.times(count / _GIB) for _, cost, count in kinds),
        money=None if price is None else gpu_hours.times(price),
        basis=dict(Counter(costs[name].basis for name in names).most_common()),
    )


_UNITS = {"gpu_hours": "GPU-hours", "money": "money", "wall_hours": "hours", "disk_gib": "GiB"}


def over_budget(study: Study, expected: Forecast, *, by_middle: bool = False) -> list[str]:
    """Return a text for each limit of the study's budget that a forecast is over.

    Args:
        study: With its budget.
        expected: Its forecast.
        by_middle: Whether the middle of a range decides, in place of its upper end.
    """
    found = []
    for name, unit in _UNITS.items():
        limit, cost = getattr(study.budget, name), getattr(expected, name)
        # A study without a price has no limit in money.
        if limit is None or cost is None:
            continue
        if (cost.middle if by_middle else cost.high) > limit:
            found.append(
                f"{study.path}: budget.{name}: {show(cost)} {unit} expected, the budget is {limit:g}"
            )
    return found


def check_budget(
    study: Study, plan: Plan, costs: Mapping[str, StepCost], to_run: Collection[str], expected: Forecast
) -> None:
    """Refuse a study whose forecast is over its budget, by the middle of the range.

    Raises:
        StudyError: Naming the factors to cut and what their levels cost.
    """
    if refused := over_budget(study, expected, by_middle=True):
        cure = _what_to_cut(level_costs(study, plan, costs, to_run), study)
        raise StudyError("\n".join(refused), cure=cure)


def level_costs(
    study: Study, plan: Plan, costs: Mapping[str, StepCost], to_run: Collection[str]
) -> dict[str, dict[str, Range]]:
    """Return factor -> level -> hours of the steps that no row without that level needs."""
    users: dict[str, dict[str, str | None]] = {factor: {} for factor in study.factors}
    for row in plan.rows:
        for member in row.members:
            for name in (*plan.lineage(member.model), *member.evaluations.values()):
                if name not in to_run:
                    continue
                for factor, of_step in users.items():
                    level = row.levels.get(factor)
                    of_step[name] = level if of_step.get(name, level) == level else None
    return {
        factor: {
            level: total(
                costs[name].seconds for name, user in users[factor].items() if user == level
            ).times(1 / _HOUR)
            for level in levels
        }
        for factor, levels in study.factors.items()
    }


def _what_to_cut(by_factor: Mapping[str, Mapping[str, Range]], study: Study) -> str:
    """Return which factors' levels cost most beside the baseline's, dearest factor first."""
    baseline = next(variant.levels for variant in study.variants if variant.label == study.baseline)
    dear = sorted(
        (
            (math.fsum(hours.middle for hours in others.values()), factor, others)
            for factor, levels in by_factor.items()
            if (others := {level: hours for level, hours in levels.items() if level != baseline[factor]})
        ),
        key=lambda item: -item[0],
    )
    texts = [
        f"{factor} ({', '.join(f'{level}: {show(hours)} h' for level, hours in others.items())})"
        for _, factor, others in dear[:_FACTORS_SHOWN]
    ]
    if not texts:
        return "raise the budget, or score on fewer tasks"
    return f"cut levels, which would save: {'; '.join(texts)}; or raise the budget"


def show(numbers: Range) -> str:
    """Return a range as people read it: two digits an end, one number where the ends look alike."""
    low, high = _digits(numbers.low), _digits(numbers.high)
    return low if low == high else f"{low} to {high}"


def _digits(number: float) -> str:
    for factor, suffix in ((1e12, " T"), (1e9, " G"), (1e6, " M")):
        if number >= factor:
            return f"{number / factor:.2g}{suffix}"
    if number >= 100:
        return f"{number:,.0f}"
    return f"{number:.2g}"
