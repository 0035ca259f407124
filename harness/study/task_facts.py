"""What is known of mteb's text tasks without loading mteb.

Owns the reading of `mteb_facts.json` (made by `harness.evaluation.task_facts`). The rule: nothing is
added to what mteb says. A task of mteb that is not there needs more than text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from harness.study.catalogue import OWN_TASKS, PASSKEY_LENGTHS, PASSKEY_TASK


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A dataset of the hub at the revision that mteb pins."""

    name: str
    """`<organisation>/<name>`."""
    revision: str


def is_text_task(task: str) -> bool:
    """Return whether a task of mteb or of this project is on text alone."""
    return task in _document() or task in OWN_TASKS


def task_datasets(task: str) -> tuple[Dataset, ...]:
    """Return the datasets of the hub that a task reads; those of all its parts for an aggregate.

    A task whose data is made here reads none.
    """
    facts = _document().get(task, {})
    own = [Dataset(name=facts["dataset"][0], revision=facts["dataset"][1])] if "dataset" in facts else []
    parts = [dataset for part in facts.get("parts", ()) for dataset in task_datasets(part)]
    return tuple(dict.fromkeys((*own, *parts)))


def task_parts(task: str) -> tuple[str, ...]:
    """Return the tasks that an aggregate is the mean of; of any other task, the task itself."""
    return tuple(_document().get(task, {}).get("parts", (task,)))


def subset_languages(task: str) -> Mapping[str, tuple[str, ...]]:
    """Return subset -> its languages, as in `eng-Latn`, of a text task."""
    if task == PASSKEY_TASK:
        return {str(length): ("eng-Latn",) for length in PASSKEY_LENGTHS}
    facts = _document().get(task, {"subsets": {"default": ["eng-Latn"]}})
    if "pairs" in facts:
        sides = facts["pairs"]
        return {f"{a}-{b}": (sides[a], sides[b]) for a in sides for b in sides if a != b}
    return {subset: tuple(languages) for subset, languages in facts["subsets"].items()}


@cache
def _document() -> dict[str, Any]:
    text = resources.files("harness.study").joinpath("mteb_facts.json").read_bytes()
    tasks: dict[str, Any] = json.loads(text)["tasks"]
    return tasks
