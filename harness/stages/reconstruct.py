"""Stage `reconstruct`: stage I, bidirectional reconstruction (arXiv 2509.03020).

Configuration: `reconstruction`, `prompts`, `pairs` (name of the pair set) and `seed`. Inputs `model`
and `source`. Output: a model folder and `metrics.jsonl`.
"""

from __future__ import annotations

from pydantic import TypeAdapter

from harness.stages.context import StepContext
from harness.study.recipe import PromptConfig, ReconstructionConfig

VERSION = 1


def run(context: StepContext) -> None:
    """Train, or go on from the newest valid checkpoint in the scratch folder."""
    from harness.training.reconstruction import train_reconstruction

    train_reconstruction(
        base=context.inputs["model"],
        pairs=context.inputs["source"] / "pairs" / f"{context.config['pairs']}.jsonl",
        config=TypeAdapter(ReconstructionConfig).validate_python(context.config["reconstruction"]),
        prompts=TypeAdapter(PromptConfig).validate_python(context.config["prompts"]),
        seed=context.config["seed"],
        output=context.output,
        scratch=context.scratch,
        threads=context.threads,
        device=context.device,
        report=context.report,
    )
