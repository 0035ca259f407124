"""What a folder of scores already holds of a model, so that an evaluation goes on where it ended.

Owns `Earlier` and its file, `evaluation.json`. The rule: scores of a task stand only if this model got
all of them, on the same data, splits and subsets, with the same versions; else the task is scored
again. Two models never share a folder, and what other calls scored in it stays there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from harness.errors import HarnessError
from harness.evaluation.catalogue import new_task, parts_of
from harness.evaluation.mirror import find_dataset
from harness.evaluation.scores import Score, read_scores, write_scores
from harness.identity.canonical import tree_sha256
from harness.identity.provenance import package_versions
from harness.identity.replacing import replace_text
from harness.study.benchmarks import Limits

NOTE_NAME = "evaluation.json"
SCORES_NAME = "scores.jsonl"
_WHOLE = {"ok", "not_applicable"}

Conditions = Mapping[str, Any]
"""What a task's scores depend on besides the model, as plain values."""


class Earlier:
    """The scores in a folder, those of earlier calls included.

    Args:
        output: The folder.
        model: Name of the model whose scores are there, and will be.
        revision: What changes with its weights.
        scores: Task -> its scores.
        conditions: Task -> under what they came about.
    """

    def __init__(
        self,
        output: Path,
        *,
        model: str,
        revision: str,
        scores: dict[str, list[Score]],
        conditions: dict[str, Conditions],
    ) -> None:
        self._output = output
        self._about = {"model": model, "revision": revision}
        self._scores = scores
        self._conditions = conditions

    @classmethod
    def open(cls, output: Path, *, model: str, revision: str) -> Self:
        """Return what a folder holds; one that is not there holds nothing.

        Raises:
            HarnessError: If it holds the scores of another model, or of one that it does not name.
            RecordError: If a line of its scores is none.
        """
        if not (output / SCORES_NAME).exists():
            return cls(output, model=model, revision=revision, scores={}, conditions={})
        note = _read_note(output / NOTE_NAME)
        about = {"model": model, "revision": revision}
        there = {name: note.get(name, "unknown") for name in about}
        if there != about:
            raise HarnessError(
                f"{output}: holds the scores of model {there['model']}, revision {there['revision']},"
                f" not of {model}, revision {revision}",
                cure="give each model a folder of its own with --to",
            )
        scores: dict[str, list[Score]] = {}
        for score in read_scores(output / SCORES_NAME):
            scores.setdefault(score.task, []).append(score)
        return cls(output, **about, scores=scores, conditions=dict(note.get("tasks", {})))

    def find(self, task: str, conditions: Conditions) -> list[Score]:
        """Return the scores of a task that stand; empty if it has to be scored."""
        found = self._scores.get(task, [])
        is_whole = all(score.state in _WHOLE for score in found)
        return found if is_whole and conditions and self._conditions.get(task) == conditions else []

    def keep(self, task: str, conditions: Conditions, scores: Sequence[Score]) -> None:
        """Write a task's scores into the folder, in the place of those that it had."""
        self._scores[task] = list(scores)
        # A kill between the two writes leaves scores whose conditions nobody knows: they do not stand.
        self._note({name: one for name, one in self._conditions.items() if name != task})
        write_scores(self._output / SCORES_NAME, _flat(self._scores.values()))
        self._note({**self._conditions, task: conditions})

    def _note(self, conditions: dict[str, Conditions]) -> None:
        self._conditions = conditions
        text = json.dumps({**self._about, "tasks": conditions}, indent=1, sort_keys=True)
        replace_text(self._output / NOTE_NAME, text + "\n")


def conditions_of(task: str, limits: Limits, *, mirrors: Sequence[Path], evaluator: str) -> Conditions:
    """Return what the scores of a task depend on besides the model.

    Args:
        task: mteb's name of it.
        limits: The splits and subsets that count.
        mirrors: Where data is read from; its files decide, and without a mirror mteb's pinned revision.
        evaluator: Whose code scores.
    """
    job = new_task(task, limits)
    return {
        "limits": limits.plain(),
        "data": {part.metadata.name: _data_of(part, mirrors) for part in parts_of(job)},
        "evaluator": evaluator,
        "versions": package_versions(),
    }


def _data_of(part: Any, mirrors: Sequence[Path]) -> str:
    folder = find_dataset(part.metadata.dataset["path"], mirrors)
    return tree_sha256(folder) if folder else str(part.metadata.revision)


def _read_note(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found


def _flat(parts: Iterable[Sequence[Score]]) -> list[Score]:
    return [score for part in parts for score in part]
