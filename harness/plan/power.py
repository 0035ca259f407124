"""What a study will be able to tell, before it runs.

Owns the smallest difference that its seeds and queries can show, suite by suite. The rule: seeds and
queries are two sources of chance, neither stands in for the other; with one seed nothing is said of
other seeds. How much a difference varies is taken from earlier studies where there are any, else a
documented usual range.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.plan.graph import Plan, Step
from harness.plan.ranges import Range
from harness.plan.work import size_of_task
from harness.records.power import smallest_detectable
from harness.study import Study
from harness.study.catalogue import task_types

_USUAL_BY_QUERY = Range(0.15, 0.35)
"""Standard deviation over queries of the difference of two models of one kind, on metrics from 0 to 1:
what the published quickstart shows for nDCG@10 between its models, 0.18 to 0.34, rounded outwards."""
_USUAL_BY_SEED = Range(0.002, 0.015)
"""The same over seeds: from two tenths of a point, as after long trainings on large sets, to one and a
half."""
ENOUGH_SEEDS = 3
_BY_QUERY = frozenset({"Retrieval", "Reranking", "InstructionRetrieval", "InstructionReranking"})
"""Task types whose metric is a mean over queries; the others' units are not known before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """How much the difference of two models varied on one task, in earlier studies."""

    by_query: Range | None = None
    """Standard deviation over queries."""
    by_seed: Range | None = None
    """Standard deviation over seeds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detectable:
    """The smallest difference that one group of tasks can show."""

    suite: str
    kind: str
    """Task type, or `all tasks` for the mean over the suite."""
    num_tasks: int
    num_queries: int
    """0 where a task's units are not known before it runs."""
    num_seeds: int
    """Shared by the rows that are compared, the fewest of any pair."""
    difference: Range | None
    """Of the group's mean score, from 0 to 1; None where one seed and no queries say nothing."""
    num_recorded: int
    """Tasks whose noise is known from earlier studies."""


def detectable_differences(
    study: Study, plan: Plan, noise: Mapping[str, Noise] | None = None
) -> list[Detectable]:
    """Return what each suite can tell, as a whole and by task type.

    Args:
        study: Its variants, seeds and suites.
        plan: Its plan.
        noise: Task -> noise in earlier studies.
    """
    num_seeds = _shared_seeds(study)
    found = []
    for suite, tasks in _tasks_by_suite(plan).items():
        groups: dict[str, dict[str, int]] = defaultdict(dict)
        for task, step in tasks.items():
            kind = task_types().get(task, "Retrieval")
            queries = _queries(plan, step) if kind in _BY_QUERY else 0
            groups[kind][task] = groups["all tasks"][task] = queries
        if len(groups) == 2:
            del groups["all tasks"]
        found += [
            _detectable(suite, kind, group, num_seeds, noise or {})
            for kind, group in sorted(groups.items(), key=lambda item: item[0] != "all tasks")
        ]
    return found


def _shared_seeds(study: Study) -> int:
    """Return with how many seeds a pair of compared rows is paired, the fewest."""
    baseline = next(one for one in study.variants if one.label == study.baseline)
    own = {recipe.seed for recipe in baseline.recipes}
    return min(len(own & {recipe.seed for recipe in one.recipes}) for one in study.variants)


def _tasks_by_suite(plan: Plan) -> dict[str, dict[str, Step]]:
    found: dict[str, dict[str, Step]] = {}
    for (suite, task), name in plan.rows[0].members[0].evaluations.items():
        found.setdefault(suite, {})[task] = plan.steps[name]
    return found


def _queries(plan: Plan, step: Step) -> int:
    source = step.inputs.get("source")
    size = size_of_task(step.config, plan.steps[source].config if source else None)
    return 0 if size is None else size.num_queries


def _detectable(
    suite: str, kind: str, queries: Mapping[str, int], num_seeds: int, noise: Mapping[str, Noise]
) -> Detectable:
    known = [noise.get(task, Noise()) for task in queries]
    by_seed = [one.by_seed or _USUAL_BY_SEED for one in known]
    by_query = [one.by_query or _USUAL_BY_QUERY for one in known]
    counts = list(queries.values())
    lows, highs = (
        _smallest(
            [getattr(one, end) for one in by_seed],
            [getattr(one, end) for one in by_query],
            counts,
            num_seeds=num_seeds,
            is_shared=end == "high",
        )
        for end in ("low", "high")
    )
    return Detectable(
        suite=suite,
        kind=kind,
        num_tasks=len(queries),
        num_queries=sum(counts) if all(counts) else 0,
        num_seeds=num_seeds,
        difference=None if lows is None or highs is None else Range(lows, highs),
        num_recorded=sum(one != Noise() for one in known),
    )


def _smallest(
    by_seed: Sequence[float],
    by_query: Sequence[float],
    queries: Sequence[int],
    *,
    num_seeds: int,
    is_shared: bool,
) -> float | None:
    """Return the smallest detectable difference of a mean over tasks.

    The variance of the mean adds up a part from seeds and one from queries, with Satterthwaite's degrees
    of freedom, as `harness.tables.levels` does afterwards.

    Args:
        by_seed: Standard deviation over seeds, a task.
        by_query: Standard deviation over queries, a task.
        queries: Queries a task; 0 leaves that part out.
        num_seeds: Shared by both rows; with one the part of seeds is not known and left out.
        is_shared: Whether a seed moves all tasks alike, else each on its own.
    """
    num = len(by_seed)
    parts = []
    if num_seeds > 1:
        mean = math.fsum(by_seed) / num
        spread = mean if is_shared else math.sqrt(math.fsum(one**2 for one in by_seed)) / num
        parts.append((spread**2 / num_seeds, num_seeds - 1))
    if any(queries):
        variance = math.fsum(
            one**2 / count for one, count in zip(by_query, queries, strict=True) if count
        )
        parts.append((variance / num**2, sum(queries) - 1))
    total = math.fsum(variance for variance, _ in parts)
    if not total or (num_seeds < 2 and not all(queries)):
        return None
    degrees = total**2 / math.fsum(variance**2 / degrees for variance, degrees in parts)
    return smallest_detectable(math.sqrt(total), degrees=max(1.0, degrees))
