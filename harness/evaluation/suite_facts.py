"""What the installed mteb says of its benchmarks: the content of `harness/records/mteb_suites.json`.

Owns the making of that file, from which result folders are read and tables are made where mteb is not
loaded. The rule: every fact (type, main metric, splits, subsets, languages, parts of an aggregate) is
mteb's own, and the same mteb gives the same bytes. Reading it is left to `harness.records.facts`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import mteb
from mteb.abstasks.aggregated_task import AbsTaskAggregate

from harness.evaluation.mteb_runner import EVALUATOR

_AVERAGES = {"mean_task": "task", "mean_task_type": "type", "task_types": "types"}
"""mteb's names of the averages that tables know -> ours."""


def make_suite_facts() -> str:
    """Return the content of `mteb_suites.json` for the installed mteb."""
    tasks: dict[str, dict[str, Any]] = {}
    suites: dict[str, dict[str, Any]] = {}
    for benchmark in sorted(mteb.get_benchmarks(), key=lambda one: str(one.name)):
        members: dict[str, dict[str, Any]] = {}
        for task in benchmark.tasks:
            name = task.metadata.name
            own = _of_task(task)
            tasks.setdefault(name, _defaults(type(task)))
            for part in getattr(task.metadata, "tasks", None) or ():
                tasks.setdefault(part.metadata.name, _defaults(type(part)))
            # Only what the benchmark restricts is said again.
            members[name] = {
                key: own[key] for key in ("splits", "subsets") if own[key] != tasks[name][key]
            }
        suites[str(benchmark.name)] = {
            "aliases": sorted(benchmark.aliases or ()),
            "averages": _averages(benchmark.aggregations),
            "tasks": members,
        }
    return _layout(tasks, suites)


def _averages(aggregations: Iterable[Any]) -> list[str]:
    # Beside plain names there may be groupings of a benchmark's own, which are left out.
    return [_AVERAGES[str(one)] for one in aggregations if isinstance(one, str) and one in _AVERAGES]


def _defaults(kind: type) -> dict[str, Any]:
    return _of_task(kind())


def _of_task(task: Any) -> dict[str, Any]:
    languages = task.metadata.hf_subsets_to_langscripts
    facts: dict[str, Any] = {
        "type": task.metadata.type,
        "metric": task.metadata.main_score,
        "splits": list(task.eval_splits),
        "subsets": _subsets(list(task.hf_subsets)),
    }
    spoken = sorted({one for subset in task.hf_subsets for one in languages.get(subset, ())})
    if len(spoken) == 1 or len(task.hf_subsets) == 1:
        facts["languages"] = spoken
    if isinstance(task, AbsTaskAggregate):
        facts["parts"] = [part.metadata.name for part in task.metadata.tasks]
    return facts


def _subsets(names: Sequence[str]) -> list[str] | dict[str, list[str]]:
    """Return the names, or the languages of which they are all the ordered pairs (up to 41,000)."""
    sides = [name.split("-") for name in names]
    if len(names) > len(set(names)) or any(len(side) != 2 for side in sides):
        return sorted(names)
    languages = sorted({one for side in sides for one in side})
    pairs = {f"{a}-{b}" for a in languages for b in languages if a != b}
    return {"pairs": languages} if len(names) > 100 and pairs == set(names) else sorted(names)


def _layout(tasks: dict[str, Any], suites: dict[str, Any]) -> str:
    """Return JSON with one line a task and one line a task of a suite, for reading differences."""
    parts = [f'"evaluator": {json.dumps(EVALUATOR)}', f'"tasks": {{\n{_lines(tasks)}\n}}']
    blocks = (
        f'{json.dumps(name)}: {{"aliases": {json.dumps(suite["aliases"])}, '
        f'"averages": {json.dumps(suite["averages"])}, "tasks": {{\n{_lines(suite["tasks"])}\n}}}}'
        for name, suite in suites.items()
    )
    joined = ",\n".join(blocks)
    parts.append(f'"suites": {{\n{joined}\n}}')
    return "{" + ",\n".join(parts) + "}\n"


def _lines(entries: dict[str, Any]) -> str:
    return ",\n".join(f"{json.dumps(name)}: {json.dumps(entries[name])}" for name in sorted(entries))
