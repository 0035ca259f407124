"""What mteb's benchmarks consist of, without mteb.

Owns the reading of `mteb_suites.json` (made by `harness.evaluation.suite_facts`) and the conventions
under which a suite's tables are printed. The rule: a suite is asked for by its name in mteb or an alias
of it, and nothing is added to what mteb says but the published metrics of the first English suite.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any, Literal

from harness.errors import RecordError, did_you_mean

MAIN_SCORE = "main_score"
"""Metric name of the number that a result file records as its main score."""

Convention = Literal["published", "recorded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFacts:
    """One task as mteb, or a suite of it, asks for it."""

    name: str
    task_type: str
    metric: str
    """mteb's main score of the task."""
    splits: tuple[str, ...]
    subsets: tuple[str, ...]
    languages: tuple[str, ...] = ()
    """Given where all subsets share them."""
    parts: tuple[str, ...] = ()
    """Tasks whose mean the task is; empty for all but a few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A named list of tasks, each with the splits and subsets that count."""

    name: str
    tasks: tuple[TaskFacts, ...]
    averages: tuple[str, ...]
    """Which means mteb prints: `task` over the tasks, `type` over the types' means, `types` each."""
    convention: Convention
    """`published`: the metrics of the printed tables of the first English suite, with cosine average
    precision for pairs. `recorded`: the main score that the result file records."""

    @property
    def types(self) -> tuple[str, ...]:
        """Return the task types in alphabetical order."""
        return tuple(sorted({task.task_type for task in self.tasks}))

    def metrics(self, task: TaskFacts) -> tuple[str, ...]:
        """Return the metrics that count for a task, the preferred one first."""
        if self.convention == "recorded":
            return (MAIN_SCORE, task.metric)
        return (published_metric(task),)


def published_metric(task: TaskFacts) -> str:
    """Return the metric that papers print for a task of the first English suite."""
    return "cosine_ap" if task.task_type == "PairClassification" else task.metric


_PUBLISHED = frozenset({"MTEB(eng, v1)"})


def find_suite(name: str) -> Suite:
    """Return a suite by mteb's name of it or an alias.

    Raises:
        RecordError: If there is none of that name; the closest one is proposed.
    """
    suites = _document()["suites"]
    names = {alias: key for key, suite in suites.items() for alias in suite["aliases"]}
    names |= {key: key for key in suites}
    if name not in names:
        raise RecordError(
            f"unknown suite {name!r}.{did_you_mean(name, names)}",
            cure="a suite is named as in mteb, such as 'MTEB(eng, v1)', 'MTEB(eng, v2)' or BEIR",
        )
    key = names[name]
    facts = task_facts()
    return Suite(
        name=key,
        tasks=tuple(
            replace(
                facts[task],
                splits=tuple(limits.get("splits", facts[task].splits)),
                subsets=_subsets(limits["subsets"]) if "subsets" in limits else facts[task].subsets,
            )
            for task, limits in suites[key]["tasks"].items()
        ),
        averages=tuple(suites[key]["averages"]),
        convention="published" if key in _PUBLISHED else "recorded",
    )


def is_suite(name: str) -> bool:
    """Return whether mteb has a benchmark of that name or alias."""
    suites = _document()["suites"]
    return name in suites or any(name in suite["aliases"] for suite in suites.values())


def suite_tasks() -> dict[str, tuple[str, ...]]:
    """Return the task names of every suite."""
    return {name: tuple(suite["tasks"]) for name, suite in _document()["suites"].items()}


@cache
def task_facts() -> Mapping[str, TaskFacts]:
    """Return every task of any suite, and every part of one, by name."""
    return {
        name: TaskFacts(
            name=name,
            task_type=facts["type"],
            metric=facts["metric"],
            splits=tuple(facts["splits"]),
            subsets=_subsets(facts["subsets"]),
            languages=tuple(facts.get("languages", ())),
            parts=tuple(facts.get("parts", ())),
        )
        for name, facts in _document()["tasks"].items()
    }


@cache
def _document() -> dict[str, Any]:
    text = resources.files("harness.records").joinpath("mteb_suites.json").read_bytes()
    document: dict[str, Any] = json.loads(text)
    return document


def _subsets(listed: list[str] | dict[str, list[str]]) -> tuple[str, ...]:
    if isinstance(listed, dict):
        # All ordered pairs of languages: written out, one task alone has 41,000.
        sides = listed["pairs"]
        return tuple(f"{one}-{two}" for one in sides for two in sides if one != two)
    return tuple(listed)
