"""Stage `contrast`: stage II, contrastive learning (arXiv 2401.00368).

Configuration: `contrastive`, `prompts`, `pairs` (name of the pair set), `sampling` and `seed`; with
held-out pairs also `validation`. Inputs `model` and `source`. Output: a model folder and
`metrics.jsonl`; with held-out pairs also `harness_training.json`.
"""

from __future__ import annotations

from harness.stages.context import StepContext
from harness.stages.training import train_step
from harness.study.recipe import ContrastiveConfig

VERSION = 2


def run(context: StepContext) -> None:
    """Train, or go on from the newest valid checkpoint in the scratch folder."""
    train_step(context, "contrastive", ContrastiveConfig)
