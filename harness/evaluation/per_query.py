"""What an evaluation keeps of single queries.

Owns `Details`: the scores of single queries (or of repeated experiments) and the first documents of each
query, collected while a task is evaluated. The rule: they are the numbers that the reported score is the
mean of, which is checked before anything is kept; a task without such parts keeps nothing. Files and
columns are left to `harness.records.per_query`, the identities of metrics to `identities`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mteb.abstasks import AbsTaskRetrieval
from mteb.abstasks.aggregated_task import AbsTaskAggregate

from harness.evaluation.identities import check_query, check_reported
from harness.evaluation.task_scores import RETRIEVAL_METRICS
from harness.records.per_query import (
    PER_QUERY_NAME,
    TOP_DEPTH,
    TOP_NAME,
    Unit,
    add_to_file,
    score_table,
    top_table,
)

Rankings = Mapping[str, Mapping[str, float]]
"""Query id -> document id -> score."""
Judgements = Mapping[str, Mapping[str, int]]
"""Query id -> document id -> grade."""

_MEASURES = {
    "ndcg": "ndcg_cut",
    "map": "map_cut",
    "recall": "recall",
    "precision": "P",
    "hit_rate": "success",
}
"""mteb's name of a metric -> trec_eval's, both followed by the cutoff."""


@dataclass(slots=True)
class Details:
    """Single scores and documents of one task, as columns."""

    task: str
    scores: dict[str, list[Any]] = field(default_factory=dict)
    top: dict[str, list[Any]] = field(default_factory=dict)

    def add_scores(
        self, split: str, subset: str, metric: str, values: Mapping[str, float], *, unit: Unit = "query"
    ) -> None:
        """Add one value a query or experiment, by its name, in the order of names."""
        for name in sorted(values):
            line = {"task": self.task, "split": split, "subset": subset, "unit": unit}
            line |= {"metric": metric, "query_id": name, "value": values[name]}  # type: ignore[dict-item]
            _append(self.scores, line)

    def add_top(self, split: str, subset: str, rankings: Rankings) -> None:
        """Add the first documents of every query, best first, ties by identifier downwards."""
        for query in sorted(rankings):
            for rank, (document, score) in enumerate(_ranked(rankings[query])[:TOP_DEPTH], start=1):
                line = {"task": self.task, "split": split, "subset": subset, "query_id": query}
                line |= {"rank": rank, "document_id": document, "score": score}  # type: ignore[dict-item]
                _append(self.top, line)

    def write(self, output: Path) -> None:
        """Write what there is below `output`, beside what other tasks left there."""
        if self.scores:
            add_to_file(output / PER_QUERY_NAME, score_table(self.scores))
        if self.top:
            add_to_file(output / TOP_NAME, top_table(self.top))


def _append(columns: dict[str, list[Any]], line: Mapping[str, Any]) -> None:
    for name, value in line.items():
        columns.setdefault(name, []).append(value)


def watch(task: Any, details: Details) -> None:
    """Let a search task tell `details` of its queries when it is evaluated; other tasks are left alone.

    mteb hands every task object its scores by query, judgements and rankings before it throws them
    away. For an aggregate, each part becomes a subset of its own.
    """
    if isinstance(task, AbsTaskAggregate):
        for part in task.metadata.tasks:
            _watch_one(part, details, subset=part.metadata.name, main=task.metadata.main_score)
    else:
        _watch_one(task, details, subset=None, main=task.metadata.main_score)


def _watch_one(task: Any, details: Details, *, subset: str | None, main: str) -> None:
    if not isinstance(task, AbsTaskRetrieval):
        return
    # The class's own: parts of an aggregate are shared by all its objects and may be watched already.
    original = type(task).task_specific_scores

    def keep(scores: Any, qrels: Any, whole: Any, hf_split: str, hf_subset: str) -> dict[str, float]:
        place = subset or hf_subset
        results = whole
        if task.skip_first_result:
            # As mteb leaves it out: by score alone.
            results = {
                query: dict(sorted(found.items(), key=lambda item: item[1], reverse=True)[1:])
                for query, found in whole.items()
            }
        for metric in dict.fromkeys((main, *RETRIEVAL_METRICS)):
            details.add_scores(hf_split, place, metric, query_values(metric, scores, qrels, results))
        details.add_top(hf_split, place, results)
        for query, found in scores.items():
            check_query(found, task=details.task, query=query)
        return original(task, scores, qrels, whole, hf_split=hf_split, hf_subset=hf_subset)

    task.task_specific_scores = keep


def query_values(
    metric: str, scores: Mapping[str, Mapping[str, float]], qrels: Judgements, rankings: Rankings
) -> dict[str, float]:
    """Return a metric's value for each query; nothing for a metric that is no mean over queries.

    Args:
        metric: mteb's name, such as `ndcg_at_10`.
        scores: Query id -> trec_eval's measures.
        qrels: Judgements.
        rankings: What was found; needed for the reciprocal rank.
    """
    family, at, cutoff = metric.partition("_at_")
    if at and family == "mrr":
        depth = int(cutoff)
        return {query: _reciprocal_rank(rankings[query], qrels[query], depth) for query in scores}
    if not at or family not in _MEASURES:
        return {}
    name = f"{_MEASURES[family]}_{cutoff}"
    return {query: found[name] for query, found in scores.items() if name in found}


def experiments_of(task: Any, entry: Mapping[str, Any]) -> dict[str, float]:
    """Return the main score of each repeated experiment of an mteb result, by its name.

    Classification draws its training set ten times, clustering groups its texts again and again; where
    the main score is not the mean of what mteb tells of them, nothing is returned.
    """
    main = task.metadata.main_score
    found: dict[str, float] = {}
    if isinstance(entry.get("scores_per_experiment"), Sequence):
        for number, scores in enumerate(entry["scores_per_experiment"]):
            if isinstance(scores, Mapping) and main in scores:
                found[f"{number:03d}"] = float(scores[main])
    elif main == "v_measure" and entry.get("v_measures"):
        measures = entry["v_measures"]
        levels = measures if isinstance(measures, Mapping) else {"": measures}
        for level, values in levels.items():
            found |= {f"{level}{number:03d}": float(value) for number, value in enumerate(values)}
    if not found or not all(math.isfinite(value) for value in found.values()):
        return {}
    mean = math.fsum(found.values()) / len(found)
    return found if math.isclose(mean, entry["main_score"], abs_tol=1e-5) else {}


def check_means(details: Details, reported: Mapping[tuple[str, str, str], float]) -> None:
    """Compare the means over queries with what was reported.

    Args:
        details: What was kept.
        reported: (split, subset, metric) -> value; the mean over parts for an aggregate.

    Raises:
        ProbeError: If a mean is not the reported value.
    """
    columns = details.scores
    if not columns:
        return
    groups: dict[tuple[str, str], dict[str, list[float]]] = {}
    lines = zip(columns["split"], columns["metric"], columns["subset"], columns["value"], strict=True)
    for split, metric, subset, value in lines:
        groups.setdefault((split, metric), {}).setdefault(subset, []).append(value)
    for (split, subset, metric), value in reported.items():
        parts = groups.get((split, metric), {})
        chosen = [parts[subset]] if subset in parts else list(parts.values())
        if chosen:
            means = [math.fsum(values) / len(values) for values in chosen]
            check_reported(math.fsum(means) / len(means), value, task=details.task, metric=metric)


def _ranked(found: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(found.items(), key=lambda item: (item[1], item[0]), reverse=True)


def _reciprocal_rank(found: Mapping[str, float], judged: Mapping[str, int], depth: int) -> float:
    hits = enumerate(_ranked(found)[:depth], start=1)
    return next((1 / rank for rank, (document, _) in hits if judged.get(document, 0) > 0), 0.0)
