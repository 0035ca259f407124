"""What the installed mteb says of its text tasks: the content of `harness/study/mteb_facts.json`.

Owns the making of that file, from which studies are checked, suites narrowed and mirrors filled where
mteb is not loaded. The rule: every fact (dataset and revision, parts of an aggregate, languages of each
subset) is mteb's own, and the same mteb gives the same bytes. A task that is not in the file is not on
text alone. Reading it is left to `harness.study.task_facts`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from mteb.abstasks.aggregated_task import AbsTaskAggregate

from harness.evaluation.mteb_runner import EVALUATOR
from harness.evaluation.tasks import register_tasks
from harness.study.catalogue import OWN_TASKS


def make_task_facts() -> str:
    """Return the content of `mteb_facts.json` for the installed mteb: one line a task."""
    register_tasks()
    registry = sys.modules["mteb.get_tasks"]._TASKS_REGISTRY
    lines = [
        f"{json.dumps(name)}: {json.dumps(_facts(kind), ensure_ascii=False)}"
        for name, kind in sorted(registry.items())
        if name not in OWN_TASKS and set(kind.metadata.modalities) == {"text"}
    ]
    joined = ",\n".join(lines)
    return f'{{"evaluator": {json.dumps(EVALUATOR)},\n"tasks": {{\n{joined}\n}}}}\n'


def _facts(kind: Any) -> dict[str, Any]:
    metadata = kind.metadata
    facts: dict[str, Any] = {}
    if issubclass(kind, AbsTaskAggregate):
        facts["parts"] = sorted(part.metadata.name for part in metadata.tasks)
    else:
        facts["dataset"] = [metadata.dataset["path"], metadata.dataset["revision"]]
    return {**facts, **_languages(metadata.hf_subsets_to_langscripts)}


def _languages(subsets: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return subset -> languages; where all subsets are pairs, the languages of each side instead."""
    if len(subsets) > 100:
        sides: dict[str, str] = {}
        for subset, languages in subsets.items():
            parts = subset.split("-")
            if len(parts) == len(languages) == 2:
                sides.update(zip(parts, languages, strict=True))
        pairs = {f"{a}-{b}": [sides[a], sides[b]] for a in sides for b in sides if a != b}
        if pairs == {subset: list(languages) for subset, languages in subsets.items()}:
            return {"pairs": dict(sorted(sides.items()))}
    return {"subsets": {name: sorted(languages) for name, languages in sorted(subsets.items())}}
