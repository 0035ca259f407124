"""Stage `contrast`: stage II, contrastive learning (arXiv 2401.00368).

Configuration: `contrastive`, `prompts`, `pairs` (name of the pair set) and `seed`. Inputs `model` and
`source`. Output: a model folder and `metrics.jsonl`.
"""

from __future__ import annotations

from pydantic import TypeAdapter

from harness.stages.context import StepContext
from harness.study.recipe import ContrastiveConfig, PromptConfig

VERSION = 1


def run(context: StepContext) -> None:
    """Train, or go on from the newest valid checkpoint in the scratch folder."""
    from harness.training.contrastive import train_contrastive

    train_contrastive(
        base=context.inputs["model"],
        pairs=context.inputs["source"] / "pairs" / f"{context.config['pairs']}.jsonl",
        config=TypeAdapter(ContrastiveConfig).validate_python(context.config["contrastive"]),
        prompts=TypeAdapter(PromptConfig).validate_python(context.config["prompts"]),
        seed=context.config["seed"],
        output=context.output,
        scratch=context.scratch,
        threads=context.threads,
        device=context.device,
        report=context.report,
    )
