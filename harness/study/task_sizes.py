"""How much text a task has, without loading mteb or data.

Owns the reading of `mteb_sizes.json` (made by `harness.evaluation.task_sizes`). The rule: what is not
known is None, and never guessed at here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources

from harness.study.benchmarks import Limits
from harness.study.catalogue import PASSKEY_LENGTHS, PASSKEY_TASK
from harness.study.task_facts import subset_languages, task_parts

_PASSKEY_QUERIES = 50
_PASSKEY_DOCUMENTS = 100
_CHARACTERS_A_TOKEN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSize:
    """What a task encodes."""

    num_texts: int
    num_characters: int
    num_queries: int
    """0 where a task has none."""

    def __add__(self, other: TaskSize) -> TaskSize:
        """Return the size of two tasks together."""
        return TaskSize(
            num_texts=self.num_texts + other.num_texts,
            num_characters=self.num_characters + other.num_characters,
            num_queries=self.num_queries + other.num_queries,
        )


def task_size(task: str, limits: Limits | None = None) -> TaskSize | None:
    """Return what a task of mteb, or passkey retrieval, has in the splits and subsets that count."""
    limits = limits or Limits()
    if task == PASSKEY_TASK:
        lengths = [int(name) for name in limits.subsets or PASSKEY_LENGTHS]
        return TaskSize(
            num_texts=len(lengths) * (_PASSKEY_QUERIES + _PASSKEY_DOCUMENTS),
            num_characters=_PASSKEY_DOCUMENTS * _CHARACTERS_A_TOKEN * sum(lengths),
            num_queries=len(lengths) * _PASSKEY_QUERIES,
        )
    if (parts := task_parts(task)) != (task,):
        return _sum(task_size(part) for part in parts)
    splits = _document().get(task, {})
    return _sum(
        _split_size(task, sizes, limits)
        for split, sizes in splits.items()
        if not limits.splits or split in limits.splits
    )


def _split_size(task: str, sizes: dict[str, list[int]], limits: Limits) -> TaskSize:
    if limits.subsets and all(subset in sizes for subset in limits.subsets):
        return _sum(_as_size(sizes[subset]) for subset in limits.subsets) or _as_size([0, 0, 0])
    share = 1.0
    if limits.subsets:
        share = len(limits.subsets) / max(len(limits.subsets), len(subset_languages(task)))
    return _as_size([round(share * number) for number in sizes[""]])


def _as_size(numbers: list[int]) -> TaskSize:
    return TaskSize(num_texts=numbers[0], num_characters=numbers[1], num_queries=numbers[2])


def _sum(sizes: Iterable[TaskSize | None]) -> TaskSize | None:
    known = [size for size in sizes if size is not None]
    total = known[0] if known else None
    for size in known[1:]:
        total = size if total is None else total + size
    return total


@cache
def _document() -> dict[str, dict[str, dict[str, list[int]]]]:
    text = resources.files("harness.study").joinpath("mteb_sizes.json").read_bytes()
    tasks: dict[str, dict[str, dict[str, list[int]]]] = json.loads(text)["tasks"]
    return tasks
