"""How much differences between models varied in earlier studies of a store.

Owns the reading of records and per-query scores for the forecast of power. The rule: spreads are of
differences between two models with the same seed, on the task's own main metric; repeated experiments
of a task are no queries.
"""

from __future__ import annotations

import itertools
import statistics
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from harness.errors import RecordError
from harness.execution.store import ArtifactStore
from harness.plan.power import Noise
from harness.plan.ranges import Range
from harness.records.per_query import PER_QUERY_NAME, read_study_scores
from harness.records.schema import Record
from harness.records.store import read_records
from harness.records.summary import StudySummary, read_summary

_MOST_STUDIES = 5
_MOST_PAIRS = 50
_Model = tuple[str, int]


def recorded_noise(store: ArtifactStore, tasks: Collection[str]) -> dict[str, Noise]:
    """Return task -> how much differences varied, for the tasks of which the store has scores.

    Five studies at most are read, those that were written last.
    """
    by_query: dict[str, list[float]] = defaultdict(list)
    by_seed: dict[str, list[float]] = defaultdict(list)
    files = sorted(store.fetch_studies().glob("*/study.json"), key=_age)
    for path in files[:_MOST_STUDIES]:
        try:
            summary = read_summary(path)
            records = [
                one
                for one in read_records(path.with_name("records.jsonl"))
                if one.is_main and one.state == "ok" and one.task in tasks
            ]
            for task, spread in _over_seeds(summary, records):
                by_seed[task].append(spread)
            metrics = {one.task: one.metric for one in records}
            for task, spread in _over_queries(path.with_name(PER_QUERY_NAME), metrics):
                by_query[task].append(spread)
        except (OSError, RecordError):
            # A damaged file is told by the verbs that are asked about it; here it says nothing.
            continue
    return {
        task: Noise(by_query=_hull(by_query[task]), by_seed=_hull(by_seed[task]))
        for task in sorted(by_query.keys() | by_seed.keys())
    }


def _age(path: Path) -> tuple[int, str]:
    return -path.stat().st_mtime_ns, str(path)


def _hull(spreads: Sequence[float]) -> Range | None:
    positive = [one for one in spreads if one > 0]
    return Range(min(positive), max(positive)) if positive else None


def _over_seeds(summary: StudySummary, records: Sequence[Record]) -> Iterator[tuple[str, float]]:
    """Yield the spread over seeds of the difference of two rows, where they share two or more."""
    values: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for one in records:
        if one.value is not None:
            values[one.suite, one.task, one.variant].append(one.value)
    cells = {key: statistics.fmean(parts) for key, parts in values.items()}
    rows = [
        {member.seed: member.slug for member in row.members if member.seed is not None}
        for row in summary.rows
        if row.role == "variant"
    ]
    pairs = list(itertools.islice(itertools.combinations(rows, 2), _MOST_PAIRS))
    for suite, task in sorted({key[:2] for key in cells}):
        for mine, theirs in pairs:
            found = [
                cells[suite, task, mine[seed]] - cells[suite, task, theirs[seed]]
                for seed in sorted(mine.keys() & theirs.keys())
                if {(suite, task, mine[seed]), (suite, task, theirs[seed])} <= cells.keys()
            ]
            if len(found) > 1:
                yield task, statistics.stdev(found)


_COLUMNS = (
    *("task", "suite", "metric", "unit", "split"),
    *("subset", "variant", "seed", "query_id", "value"),
)


def _over_queries(path: Path, metrics: Mapping[str, str]) -> Iterator[tuple[str, float]]:
    """Yield the spread over queries of the difference of two models with one seed."""
    table = read_study_scores(path) if metrics else None
    if table is None:
        return
    scores: dict[tuple[str, str], dict[_Model, dict[str, float]]] = {}
    for row in zip(*(table[name].to_pylist() for name in _COLUMNS), strict=True):
        task, suite, metric, unit, split, subset, variant, seed, query, value = row
        if unit == "query" and metrics.get(task) == metric and seed is not None:
            of_model = scores.setdefault((suite, task), {}).setdefault((variant, seed), {})
            of_model[f"{split}/{subset}/{query}"] = value
    for (_, task), models in scores.items():
        pairs = (
            (models[one], models[other])
            for one, other in itertools.combinations(sorted(models), 2)
            if one[1] == other[1]
        )
        for mine, theirs in itertools.islice(pairs, _MOST_PAIRS):
            shared = sorted(mine.keys() & theirs.keys())
            if len(shared) > 1:
                yield task, statistics.stdev(mine[query] - theirs[query] for query in shared)
