"""The stages by name, with what the plan needs to know of each.

Owns the list. The rule: a stage's VERSION is raised whenever the same configuration and inputs would
give other output, since it is part of every fingerprint. Nothing heavy is imported here: a stage
loads torch, mteb and the like inside its `run`.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from typing import Protocol, cast

from harness.stages.context import StepContext


class _StageModule(Protocol):
    VERSION: int

    def run(self, context: StepContext) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One kind of step."""

    name: str
    purpose: str

    @property
    def version(self) -> int:
        """VERSION of the stage's code, a part of every fingerprint of its steps."""
        return _load(self.name).VERSION

    def run(self, context: StepContext) -> None:
        """Run one step of this kind.

        Raises:
            HarnessError: For faults that a user can mend; anything else is a bug.
        """
        _load(self.name).run(context)


@cache
def _load(name: str) -> _StageModule:
    return cast("_StageModule", importlib.import_module(f"harness.stages.{name}"))


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(name="download", purpose="fetch a package's data"),
        Stage(name="source", purpose="make training pairs and evaluation data"),
        Stage(name="mix", purpose="put the pairs of several sources together"),
        Stage(name="clean", purpose="drop pairs that nobody should train on"),
        Stage(name="mine", purpose="find hard negatives"),
        Stage(name="base", purpose="make an embedder of a base checkpoint"),
        Stage(name="reconstruct", purpose="stage I: bidirectional reconstruction"),
        Stage(name="contrast", purpose="stage II: contrastive learning"),
        Stage(name="embed", purpose="encode a part of a large corpus"),
        Stage(name="evaluate", purpose="score one model on one task"),
        Stage(name="overlap", purpose="look for a task's texts in training pairs"),
    )
}
