"""What steps and models are called.

Owns the names that people read: a base's own, a model's, the slug under which a variant is scored. The
rule: none of them is part of an identity, and no two lines of a table have one name.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from harness.identity import fingerprint
from harness.study.document import Base
from harness.study.recipe import ModelConfig, PromptConfig
from harness.study.task_prompts import NONE, prompt_files


def instructed_name(base: Base, model: ModelConfig, prompts: PromptConfig) -> str:
    """Return the name of a base's models with the instructions that their texts get."""
    # One model under two sets of instructions is two lines, and must have two names.
    return f"{model_name(base, model)}{_instructed(prompts.tasks)}"


def _instructed(tasks: str) -> str:
    if tasks == NONE:
        return ""
    if tasks in prompt_files():
        return f"-{tasks}"
    return f"-{re.sub('[^a-z0-9]+', '-', Path(tasks).stem.lower())}-{fingerprint(tasks)[:6]}"


def stage_field(stage: str) -> str:
    """Return the key under which a training stage's configuration holds its settings."""
    return {"contrast": "contrastive", "reconstruct": "reconstruction"}[stage]


@cache
def base_name(base: Base) -> str:
    """Return the checkpoint's own name: the last part of its hub name, folder or file."""
    if base.gguf is not None:
        return Path(base.gguf).stem
    return Path(base.hub or base.path or "").name


def model_name(base: Base, model: ModelConfig) -> str:
    """Return the base's name, with the number of layers where it is cut."""
    layers = f"-{model.num_layers}l" if model.num_layers is not None else ""
    return f"{base_name(base)}{layers}".lower()
