"""What the training stages have in common.

Owns the step from a context to a training job. The rule: configuration and inputs decide the weights;
resources and paths come from the context and do not.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter

from harness.stages.context import StepContext
from harness.study.recipe import ContrastiveConfig, PromptConfig, ReconstructionConfig, ValidationConfig

UNTIL, RESUME = "until", "resume"
"""Field of a configuration: the step before which training stops. Binding: a model folder of the same
training at an earlier rung, to go on from."""


def train_step(
    context: StepContext, field: str, kind: type[ContrastiveConfig | ReconstructionConfig]
) -> None:
    """Train the stage whose settings lie under `field`, or go on where it was interrupted."""
    from harness.data.pair_sets import set_path
    from harness.training.batches import Sampling
    from harness.training.job import TrainingJob
    from harness.training.train import train

    config = context.config
    job = TrainingJob(
        base=context.inputs["model"],
        pairs=set_path(context.inputs["source"], config["pairs"]),
        config=TypeAdapter(kind).validate_python({"seed": None, **config[field]}),
        prompts=TypeAdapter(PromptConfig).validate_python(config["prompts"]),
        sampling=Sampling(**config["sampling"]),
        validation=TypeAdapter(ValidationConfig | None).validate_python(config.get("validation")),
        seed=config["seed"],
        output=context.output,
        scratch=context.scratch,
        tracking=context.tracking,
        until=config.get(UNTIL),
        resume=Path(context.bindings[RESUME]) if RESUME in context.bindings else None,
    )
    train(job, context.resources, device=context.device, report=context.report)
