"""From an mteb result to scores.

Owns which of mteb's numbers become scores: the main score of each split and subset, and for retrieval a
few more. The rule: a number that mteb could not compute becomes a score without a value that says so,
never a zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import datasets
from mteb.abstasks import AbsTaskRetrieval
from mteb.results import TaskResult

from harness.evaluation.scores import Score
from harness.records.schema import State

RETRIEVAL_METRICS = ("ndcg_at_10", "map_at_10", "mrr_at_10", "recall_at_10", "recall_at_100")


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What all scores of one run of one task have in common."""

    prompt_hash: str = ""
    prompts: dict[str, str] = field(default_factory=dict)
    dataset_revision: str = ""
    evaluator: str
    versions: dict[str, str] = field(default_factory=dict)
    wall_seconds: float | None = None
    tokens: int | None = None
    source: str = ""

    def score(self, **fields: Any) -> Score:
        """Return a score under these circumstances."""
        common = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return Score(**common, **fields)


def scores_of(task: Any, result: TaskResult, circumstances: Circumstances) -> list[Score]:
    """Return the scores of one task.

    Args:
        task: The task object as it was evaluated, data still loaded (queries are counted on it).
        result: What mteb made of it.
        circumstances: What goes into every score.
    """
    main_metric = task.metadata.main_score
    scores = []
    for split, entries in result.scores.items():
        for entry in entries:
            subset = entry["hf_subset"]
            metrics = {main_metric: entry["main_score"]}
            if isinstance(task, AbsTaskRetrieval):
                extra = (name for name in RETRIEVAL_METRICS if name in entry)
                metrics |= {name: entry[name] for name in extra if name != main_metric}
            scores += [
                circumstances.score(
                    task=task.metadata.name,
                    task_type=task.metadata.type,
                    split=split,
                    subset=subset,
                    languages=tuple(entry["languages"]),
                    metric=metric,
                    is_main=metric == main_metric,
                    num_queries=count_queries(task, split=split, subset=subset),
                    **_outcome(number, metric),
                )
                for metric, number in metrics.items()
            ]
    return scores


def scores_without_value(
    task: Any, subsets: Sequence[str], circumstances: Circumstances, *, state: State, reason: str
) -> list[Score]:
    """Return a score without value for each split of the given subsets of a task.

    Args:
        task: The task object; its data need not be loaded.
        subsets: mteb's names of the subsets.
        circumstances: What goes into every score.
        state: Why there is no value, as one of the known states.
        reason: The same in words; `{subset}` stands for the subset.
    """
    languages = task.metadata.hf_subsets_to_langscripts
    return [
        circumstances.score(
            task=task.metadata.name,
            task_type=task.metadata.type,
            split=split,
            subset=subset,
            languages=tuple(languages.get(subset, ())),
            metric=task.metadata.main_score,
            state=state,
            reason=reason.format(subset=subset),
        )
        for split in task.eval_splits
        for subset in subsets
    ]


def count_queries(task: Any, *, split: str, subset: str) -> int | None:
    """Return how many queries, rows or pairs the loaded data of a task has; None if it is not plain."""
    if not isinstance(task.dataset, dict):
        return None
    part = task.dataset.get(subset, task.dataset).get(split)
    if isinstance(part, dict):
        return len(part["queries"]) if "queries" in part else None
    if not isinstance(part, Sequence | datasets.Dataset):
        return None
    # Pair classification may keep all pairs as lists in one row.
    pairs = part[0].get("sentence1") if len(part) == 1 else None
    return len(part) if pairs is None or isinstance(pairs, str) else len(pairs)


def _outcome(number: Any, metric: str) -> dict[str, Any]:
    if number is not None and math.isfinite(number):
        return {"value": float(number)}
    return {"state": "failed", "reason": f"mteb gave no number for {metric} ({number})"}
