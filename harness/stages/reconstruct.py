"""Stage `reconstruct`: stage I, bidirectional reconstruction (arXiv 2509.03020).

Configuration: `reconstruction`, `prompts`, `pairs` (name of the pair set), `sampling` and `seed`; with
held-out pairs also `validation`. Inputs `model` and `source`. Output: a model folder and
`metrics.jsonl`; with held-out pairs also `harness_training.json`.
"""

from __future__ import annotations

from harness.stages.context import StepContext
from harness.stages.training import train_step
from harness.study.recipe import ReconstructionConfig

VERSION = 2


def run(context: StepContext) -> None:
    """Train, or go on from the newest valid checkpoint in the scratch folder."""
    train_step(context, "reconstruction", ReconstructionConfig)
