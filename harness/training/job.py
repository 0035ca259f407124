"""What a training stage is to do: the job that a step hands to it.

Owns `TrainingJob`. The rule: its identity holds everything that decides weights, and no path.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from harness.identity import file_sha256, fingerprint
from harness.models.folder import weights_id
from harness.study.recipe import (
    ContrastiveConfig,
    PromptConfig,
    ReconstructionConfig,
    ValidationConfig,
)
from harness.training.batches import Sampling


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """One run of one stage: everything that decides its weights, and where they go."""

    base: Path
    """Model folder to start from; for reconstruction it must hold the vocabulary head."""
    pairs: Path
    """Set of training pairs, with hard negatives where the settings ask for some."""
    config: ReconstructionConfig | ContrastiveConfig
    prompts: PromptConfig
    """Put before the texts."""
    sampling: Sampling = field(default_factory=Sampling)
    """How the pair set's datasets are mixed."""
    validation: ValidationConfig | None = None
    """Which pairs are held out to measure the training by."""
    seed: int
    """Decides order, choice of negatives, dropout and initial adapters."""
    output: Path
    """Folder to write."""
    scratch: Path
    """Folder for checkpoints; an interrupted run goes on from the newest."""
    tracking: Path | None = None
    """Folder for the files of trackers, which also names their runs; in `scratch` when None."""
    checkpoint_every: int = 5
    """Steps between two checkpoints."""
    until: int | None = None
    """Stop before this step, with a model folder and what it takes to go on: a rung of a search."""
    resume: Path | None = None
    """Model folder of the same training at an earlier rung, to go on from if there is no checkpoint."""

    @property
    def with_head(self) -> bool:
        """Whether the stage needs the vocabulary head."""
        return isinstance(self.config, ReconstructionConfig)

    @property
    def last_step(self) -> int:
        """Steps after which the stage is done."""
        return self.config.steps if self.until is None else min(self.until, self.config.steps)

    @property
    def is_rung(self) -> bool:
        """Whether the stage stops on its way."""
        return self.last_step < self.config.steps

    @property
    def keeps_best(self) -> bool:
        """Whether the stage leaves the best step's weights instead of the last's."""
        return self.config.keep == "best"

    def identity(self) -> str:
        """Return the fingerprint by which a checkpoint is known to belong to this run."""
        return fingerprint(
            {
                "stage": type(self.config).__name__,
                "base": weights_id(self.base),
                "pairs": file_sha256(self.pairs),
                "config": self.config,
                "prompts": self.prompts,
                "sampling": self.sampling,
                "validation": self.validation,
                "seed": self.seed,
            }
        )
