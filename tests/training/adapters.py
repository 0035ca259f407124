"""A short training with adapters, as several tests need it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.study.document import Resources
from harness.study.recipe import ContrastiveConfig, PromptConfig, TuningConfig
from harness.training.job import TrainingJob
from harness.training.train import train

LORA = TuningConfig(method="lora", rank=4, alpha=8, dropout=0.2)
CONTRASTIVE = ContrastiveConfig(
    steps=3,
    global_batch=4,
    num_negatives=1,
    temperature=0.1,
    learning_rate=1e-2,
    warmup_steps=1,
    query_length=12,
    document_length=20,
    tuning=LORA,
)


def train_adapter(
    base: Path, pairs: Path, folder: Path, config: Any = CONTRASTIVE, **changes: Any
) -> Path:
    """Train a stage in `folder`, with changes to its configuration; return the model folder."""
    job = TrainingJob(
        base=base,
        pairs=pairs,
        config=replace(config, **changes),
        prompts=PromptConfig(query="query: "),
        seed=1,
        output=folder / "output",
        scratch=folder / "scratch",
    )
    train(job, Resources(), device="cpu", report=lambda line: None)
    return folder / "output"
