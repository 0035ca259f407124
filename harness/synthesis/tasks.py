"""The first step: tasks that examples are written for.

Owns the list of tasks of each kind, and the file `tasks.jsonl` that closes it. The rule: once the file
is there the list never changes, since every draw points into it; each task stands in it once.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from harness.data.pairs import write_json_lines
from harness.errors import DataError
from harness.identity.replacing import replace_file
from harness.synthesis.answers import Refused, read_tasks
from harness.synthesis.asking import Asker, Failure
from harness.synthesis.draws import num_tasks
from harness.synthesis.load import Specification
from harness.synthesis.messages import brainstorm_request

NAME = "tasks.jsonl"
_MOST_TRIES = 4
"""Requests at most, as a multiple of those that would do if no two tasks were alike."""
Tasks = Mapping[str, tuple[str, ...]]
"""Kind -> its tasks, in the order of the brainstorms."""


def find_tasks(
    specification: Specification, asker: Asker, folder: Path
) -> tuple[Tasks, Mapping[str, Mapping[str, int]]]:
    """Return the tasks, asking for them unless the list is closed; and what became of the lines.

    Returns:
        Kind -> tasks, and kind -> counts: `replies`, `tasks`, and the lines left out by reason.

    Raises:
        DataError: When a kind that examples are wanted of has no task at all.
    """
    path = folder / NAME
    if not path.is_file():
        rows, counts = _brainstorm(specification, asker)
        replace_file(path, lambda file: write_json_lines(file, [{"counts": counts}, *rows]))
    head, *rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    tasks: dict[str, list[str]] = {}
    for row in rows:
        tasks.setdefault(row["kind"], []).append(row["task"])
    return {kind: tuple(found) for kind, found in tasks.items()}, head["counts"]


def _brainstorm(
    specification: Specification, asker: Asker
) -> tuple[list[dict[str, str]], dict[str, dict[str, int]]]:
    rows: list[dict[str, str]] = []
    counts: dict[str, dict[str, int]] = {}
    for kind in specification.kinds:
        if num_tasks(specification, kind):
            tasks, counts[kind] = _brainstorm_kind(specification, asker, kind)
            rows += [{"kind": kind, "task": task} for task in tasks]
    return rows, counts


def _brainstorm_kind(
    specification: Specification, asker: Asker, kind: str
) -> tuple[list[str], dict[str, int]]:
    wanted = num_tasks(specification, kind)
    a_reply = specification.document.brainstorm.tasks_per_reply
    most = _MOST_TRIES * math.ceil(wanted / a_reply)
    requests = (brainstorm_request(specification, kind, index) for index in range(most))
    tasks: dict[str, str] = {}
    count: Counter[str] = Counter()
    # A model that repeats itself is asked again, up to a point.
    for _, outcome in asker.outcomes(requests, room=lambda: math.ceil((wanted - len(tasks)) / a_reply)):
        if isinstance(outcome, Failure) and not outcome.is_final:
            raise DataError(
                f"the first step ended before all tasks were brainstormed: {outcome.reason}",
                cure="run the same command again, with a larger cap: answers so far are kept",
            )
        count["requests"] += 1
        found = "no answer" if isinstance(outcome, Failure) else read_tasks(outcome)
        if isinstance(found, str | Refused):
            count[f"answer: {found if isinstance(found, str) else found.reason}"] += 1
            continue
        for task in found:
            if isinstance(task, Refused):
                count[f"task: {task.reason}"] += 1
            elif tasks.setdefault(task.casefold(), task) is not task:
                count["task: duplicate"] += 1
            else:
                count["tasks"] += 1
    if not tasks:
        raise DataError(
            f"no usable task of kind {kind} was brainstormed: {_show(count)}",
            cure="run again to ask what brought no answer; or take another model, a larger "
            "`sampling.max_tokens`, other `prompts`, or leave the kind out of `kinds`",
        )
    return list(tasks.values()), dict(sorted(count.items()))


def _show(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(counts.items()) if number)
