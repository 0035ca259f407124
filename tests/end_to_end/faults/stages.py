"""Stages without torch, for whole studies: each writes text that follows from what it is given.

They stand in for the real ones in every process that has the folder of `stub.install_in` on its import
path, count their runs and misbehave to order; see `tests.execution.stub`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, cast

from harness.evaluation.scores import Score, write_scores
from harness.stages import STAGES, StepContext
from harness.stages.evaluate import SCORES_NAME
from tests.execution.stub import follow_orders, note


@dataclass
class TextStage:
    """Stands in for a stage."""

    name: str
    version: int = 1

    def run(self, context: StepContext) -> None:
        parts = [folder.joinpath("text").read_text() for folder in context.inputs.values()]
        name = self._name(context, parts)
        checkpoint = context.scratch / "checkpoint"
        if checkpoint.exists():
            note(f"resumed-{name}", checkpoint.read_text())
        checkpoint.write_text(name)
        follow_orders(name)
        (context.output / "text").write_text(f"{name}({';'.join(sorted(parts))})")
        if self.name == "evaluate":
            digest = hashlib.sha256("".join(parts).encode()).digest()
            score = Score(
                task=context.config["task"],
                task_type="Retrieval",
                split="test",
                subset="default",
                metric="ndcg_at_10",
                value=digest[0] / 256,
                evaluator="mteb",
            )
            write_scores(context.output / SCORES_NAME, [score])

    def _name(self, context: StepContext, parts: list[str]) -> str:
        if self.name == "contrast":
            return f"contrast-{context.config['contrastive']['temperature']}"
        if self.name == "evaluate":
            model = next(part for part in parts).partition("(")[0]
            return f"{context.config['task']}-of-{model}"
        return self.name


def install() -> None:
    """Put them in the place of the real ones."""
    for name in ("source", "base", "reconstruct", "contrast", "evaluate"):
        cast("dict[str, Any]", STAGES)[name] = TextStage(name)
