"""How large mteb says its text tasks are: the content of `harness/study/mteb_sizes.json`.

Owns the making of that file, from which plans are forecast where mteb is not loaded. The rule: every
number is of mteb's own descriptive statistics, of the splits that it evaluates, and the same mteb gives
the same bytes. Texts that train a classifier or a regression are not counted. Reading the file is left
to `harness.study.task_sizes`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from harness.evaluation.mteb_runner import EVALUATOR
from harness.evaluation.tasks import register_tasks
from harness.study.catalogue import OWN_TASKS

_MOST_SUBSETS = 60
"""Tasks with more subsets have one line for them all."""
_OF_SUBSETS = "hf_subset_descriptive_stats"


def make_task_sizes() -> str:
    """Return the content of `mteb_sizes.json` for the installed mteb: one line a task.

    Task -> split -> subset (empty for all of them) -> texts, characters and queries.
    """
    register_tasks()
    registry = sys.modules["mteb.get_tasks"]._TASKS_REGISTRY
    lines = [
        f"{json.dumps(name)}: {json.dumps(sizes, ensure_ascii=False, separators=(',', ':'))}"
        for name, kind in sorted(registry.items())
        if name not in OWN_TASKS
        and set(kind.metadata.modalities) == {"text"}
        and (sizes := _sizes(kind.metadata))
    ]
    joined = ",\n".join(lines)
    return f'{{"evaluator": {json.dumps(EVALUATOR)},\n"tasks": {{\n{joined}\n}}}}\n'


def _sizes(metadata: Any) -> dict[str, dict[str, list[int]]]:
    found = {}
    for split, statistics in sorted((metadata.descriptive_stats or {}).items()):
        if split not in metadata.eval_splits:
            continue
        subsets = statistics.get(_OF_SUBSETS) or {}
        chosen = subsets if len(subsets) <= _MOST_SUBSETS else {}
        found[split] = {"": _size(statistics)} | {
            name: _size(subset) for name, subset in sorted(chosen.items())
        }
    return found


def _size(statistics: Mapping[str, Any]) -> list[int]:
    """Return the number of texts, of their characters, and of queries."""
    texts, characters, queries = 0, 0, statistics.get("num_queries") or 0
    for name, side in statistics.items():
        if not isinstance(side, Mapping) or not side.get("total_text_length"):
            continue
        num = round(side["total_text_length"] / side["average_text_length"])
        texts += num
        characters += side["total_text_length"]
        if name == "queries_text_statistics" and not queries:
            queries = num
    return [texts, characters, queries]
