"""Trainings that ranks run in the tests: at the top of a module, where a fresh process finds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import torch

from harness.study.document import Resources
from harness.study.recipe import (
    ContrastiveConfig,
    PromptConfig,
    ReconstructionConfig,
    TuningConfig,
    ValidationConfig,
)
from harness.training.distributed import GroupRanks, Strategy, joined
from harness.training.job import TrainingJob
from harness.training.loop import StepOutcome
from harness.training.memory import MicroBatch
from harness.training.ranks import ONE_RANK, Ranks
from harness.training.stage import train_network
from harness.training.train import make_objective

LORA = TuningConfig(method="lora", rank=4, alpha=8, dropout=0.2)
FULL = TuningConfig(method="full")
_COMMON: Mapping[str, Any] = {
    "steps": 5,
    "global_batch": 7,
    "learning_rate": 1e-2,
    "warmup_steps": 2,
    "query_length": 12,
    "document_length": 20,
}
_CONTRASTIVE = ContrastiveConfig(num_negatives=2, temperature=0.1, tuning=LORA, **_COMMON)
_RECONSTRUCTION = ReconstructionConfig(tuning=FULL, **_COMMON)
_BEST: Mapping[str, Any] = {"keep": "best", "validate_every": 1, "learning_rate": 2e-2}
KILLED_AT = 3
ENOUGH_TOKENS = 100


@dataclass(frozen=True, kw_only=True)
class Case:
    """A stage's settings, and what a machine lends."""

    config: ContrastiveConfig | ReconstructionConfig
    micro_batch: int | None = None
    memory_gib: float | None = None
    gradient_checkpointing: bool = False
    base: str = "base"
    validation: ValidationConfig | None = None

    def resources(self, strategy: Strategy = "ddp") -> Resources:
        return Resources(
            strategy=strategy,
            micro_batch=self.micro_batch,
            memory_gib=self.memory_gib,
            gradient_checkpointing=self.gradient_checkpointing,
        )


CASES: dict[str, Case] = {
    "contrastive LoRA, one graph in parts, symmetric": Case(
        config=replace(_CONTRASTIVE, symmetric=True), micro_batch=60
    ),
    "contrastive LoRA, cached": Case(
        config=replace(_CONTRASTIVE, **_BEST),
        micro_batch=60,
        memory_gib=1e-4,
        validation=ValidationConfig(pairs=4),
    ),
    "contrastive full, cached, recomputed": Case(
        config=replace(_CONTRASTIVE, tuning=FULL),
        micro_batch=60,
        memory_gib=1e-4,
        gradient_checkpointing=True,
    ),
    "reconstruction full, tied head": Case(config=_RECONSTRUCTION, micro_batch=80),
    "reconstruction full, head of its own, projection": Case(
        config=replace(_RECONSTRUCTION, projection="linear", **_BEST),
        micro_batch=80,
        base="untied",
        validation=ValidationConfig(pairs=4),
    ),
    # Of a factor with a single row, the second rank's shard is empty.
    "reconstruction LoRA of rank 1, recomputed": Case(
        config=replace(_RECONSTRUCTION, tuning=replace(LORA, rank=1)), gradient_checkpointing=True
    ),
}
SIXTEEN_BITS = Case(config=_CONTRASTIVE, base="bfloat16")
RESUMED = CASES["contrastive LoRA, cached"]


class KilledError(Exception):
    """Stands for the end of a process."""


class _Mortal:
    def __init__(self, objective: Any) -> None:
        self._objective = objective

    def backward(self, step: int) -> StepOutcome:
        if step == KILLED_AT:
            raise KilledError
        outcome: StepOutcome = self._objective.backward(step)
        return outcome


def make_mortal(*arguments: Any) -> _Mortal:
    return _Mortal(make_objective(*arguments))


class _Hungry:
    """Runs out of memory at one step on the second rank, while sub-batches are large."""

    def __init__(self, objective: Any, micro_batch: MicroBatch, ranks: Ranks) -> None:
        self._objective, self._micro_batch, self._ranks = objective, micro_batch, ranks

    def backward(self, step: int) -> StepOutcome:
        is_large = self._micro_batch.tokens > ENOUGH_TOKENS
        if step == KILLED_AT and self._ranks.rank == 1 and is_large:
            raise torch.OutOfMemoryError("planted")
        outcome: StepOutcome = self._objective.backward(step)
        return outcome


def make_hungry(job: Any, network: Any, pairs: Any, micro_batch: MicroBatch, ranks: Ranks) -> _Hungry:
    return _Hungry(make_objective(job, network, pairs, micro_batch, ranks), micro_batch, ranks)


class _Crossed(GroupRanks):
    """Ranks that gather vectors in the wrong order."""

    def gather(self, vectors: torch.Tensor, counts: Sequence[int]) -> torch.Tensor:
        parts = super().gather(vectors, counts).split(list(counts))
        return torch.cat(parts[::-1])


def make_job(case: Case, folder: Path, *, scratch: Path) -> TrainingJob:
    return TrainingJob(
        base=folder / case.base,
        pairs=folder / "pairs.arrow",
        config=case.config,
        prompts=PromptConfig(query="query: ", document=""),
        validation=case.validation,
        seed=1,
        output=scratch / "output",
        scratch=scratch,
        checkpoint_every=2,
    )


def train_case(
    case: Case,
    folder: Path,
    *,
    scratch: Path,
    resources: Resources | None = None,
    ranks: Ranks = ONE_RANK,
    make: Callable[..., Any] = make_objective,
) -> Any:
    """Train a case on this rank and return the network."""
    network, _ = train_network(
        make_job(case, folder, scratch=scratch),
        make,
        resources=resources or case.resources(),
        device="cpu",
        report=lambda line: None,
        ranks=ranks,
    )
    return network


def place(folder: Path, name: str, way: str) -> Path:
    return folder / "runs" / way / name.replace(" ", "-")


def train_all(folder: Path, *, rank: int, report: Callable[[str], None]) -> None:
    """Train every case on two ranks by both strategies, in one process group."""
    cpu = torch.device("cpu")
    with joined("ddp", rank=rank, num_ranks=2, device=cpu, meeting=folder / "meeting") as ddp:
        fsdp = GroupRanks("fsdp", device=cpu)
        connections = psutil.Process().net_connections()
        report("listens on " + ", ".join(sorted({connection.laddr.ip for connection in connections})))
        for way, ranks in (("ddp", ddp), ("fsdp", fsdp)):
            for name, case in {**CASES, "16 bits": SIXTEEN_BITS}.items():
                train_case(
                    case,
                    folder,
                    scratch=place(folder, name, way),
                    resources=case.resources("ddp" if way == "ddp" else "fsdp"),
                    ranks=ranks,
                )
        crossed = _Crossed("ddp", device=cpu)
        train_case(RESUMED, folder, scratch=place(folder, "crossed", "ddp"), ranks=crossed)
        for way, first, second in (
            ("fsdp then fsdp", fsdp, fsdp),
            ("ddp then ddp", ddp, ddp),
            ("fsdp then ddp", fsdp, ddp),
            ("fsdp then one", fsdp, None),
        ):
            scratch = place(folder, "resumed", way)
            try:
                train_case(RESUMED, folder, scratch=scratch, ranks=first, make=make_mortal)
            except KilledError:
                report(f"{way}: killed")
            if second is not None:
                train_case(RESUMED, folder, scratch=scratch, ranks=second)
