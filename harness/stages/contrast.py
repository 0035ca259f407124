"""Stage `contrast`: stage II, contrastive learning (arXiv 2401.00368).

Configuration: `contrastive`, `prompts`, `pairs` (name of the pair set), `sampling` and `seed`; with
held-out pairs also `validation`; `until` where training stops at a rung. Inputs `model` and `source`;
binding `resume`, an earlier rung's folder. Output: a model folder and `metrics.jsonl`; with held-out
pairs also `harness_training.json`; at a rung its checkpoints.
"""

from __future__ import annotations

from harness.stages.context import StepContext
from harness.stages.training import train_step
from harness.study.recipe import ContrastiveConfig

VERSION = 2


def run(context: StepContext) -> None:
    """Train, or go on from the newest valid checkpoint in the scratch folder."""
    train_step(context, "contrastive", ContrastiveConfig)
