"""What each request asks for: draws that are functions of the seed and the request's number.

Owns the random choices of kind, languages, placeholder values and task. The rule: draw i depends on the
seed and i alone, so neither concurrency nor a kill nor a larger `size` changes what draw i asks; only
its task also depends on the tasks that were brainstormed.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.identity import derive_seed
from harness.synthesis.kinds import KINDS
from harness.synthesis.load import Specification


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """What one example is to be."""

    index: int
    kind: str
    language: str
    target: str | None
    """The second language, for bitext."""
    values: Mapping[str, str]
    """Placeholder -> value."""
    task_point: float
    """Where in the list of the kind's tasks the example's task is, in [0, 1)."""

    def choose_task(self, tasks: Sequence[str]) -> str | None:
        """Return the example's task; None for kinds without tasks."""
        if not KINDS[self.kind].has_tasks:
            return None
        return tasks[int(self.task_point * len(tasks))]


def draw(specification: Specification, index: int) -> Draw:
    """Return draw `index`."""
    # Only `random()`: Python keeps its sequence for a seed from version to version.
    point = random.Random(derive_seed("synthesis", specification.document.seed, index)).random  # noqa: S311
    kind = _choose(specification.kinds, point())
    language = _choose(specification.languages, point())
    others = {code: share for code, share in specification.languages.items() if code != language}
    other = point()
    task_point = point()
    values = {}
    for name in KINDS[kind].values:
        choices = specification.values_of(kind, name)
        values[name] = choices[int(point() * len(choices))]
    return Draw(
        index=index,
        kind=kind,
        language=language,
        target=_choose(others, other) if kind == "bitext" else None,
        values=values,
        task_point=task_point,
    )


def num_tasks(specification: Specification, kind: str) -> int:
    """Return the tasks that a kind needs, so that few examples share one; zero for kinds without."""
    if kind not in specification.kinds or not KINDS[kind].has_tasks:
        return 0
    document = specification.document
    examples = document.size * specification.kinds[kind]
    return math.ceil(examples / document.brainstorm.examples_per_task)


def _choose(weights: Mapping[str, float], point: float) -> str:
    """Return the name in whose part of the weights `point`, from [0, 1), lies."""
    left = point * math.fsum(weights.values())
    for name, weight in weights.items():
        left -= weight
        if left < 0:
            return name
    return next(reversed(list(weights)))
