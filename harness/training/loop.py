"""One training loop for both stages.

Owns optimiser, schedule, clipping and what is written down about each step. The rule: a step depends
on the weights, the optimiser's state and the step's number, and on nothing else, so that going on from
a checkpoint equals never having stopped. The loss is the objective's affair.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from harness.errors import HarnessError
from harness.models.probes import probe_gradients
from harness.study.recipe import ContrastiveConfig, ReconstructionConfig
from harness.training.checkpoints import CheckpointFolder

METRICS = "metrics.jsonl"
_REPORTS = 10

# Writing checkpoints may take a tenth of the time of training, unless it is quick anyway.
_CHECKPOINT_SPACING = 10.0
_QUICK_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSettings:
    """The settings that both stages share."""

    steps: int
    learning_rate: float
    warmup_steps: int
    weight_decay: float
    max_grad_norm: float
    checkpoint_every: int

    @classmethod
    def of(
        cls, config: ReconstructionConfig | ContrastiveConfig, *, checkpoint_every: int
    ) -> LoopSettings:
        """Return the settings of a stage's configuration."""
        return cls(
            steps=config.steps,
            learning_rate=config.learning_rate,
            warmup_steps=config.warmup_steps,
            weight_decay=config.weight_decay,
            max_grad_norm=config.max_grad_norm,
            checkpoint_every=checkpoint_every,
        )

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0.

        It rises linearly to the peak at step `warmup_steps` - 1, never zero, and falls linearly
        towards zero after the last step.
        """
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        return self.learning_rate * (self.steps - step) / (self.steps - self.warmup_steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutcome:
    """What an objective says of a step."""

    loss: float
    rows: Sequence[int]
    """Indices of the pairs of the batch."""
    tokens: int
    """Real tokens that went through the network."""
    metrics: Mapping[str, float] = field(default_factory=dict)


class Objective(Protocol):
    """A loss over a training set."""

    def backward(self, step: int) -> StepOutcome:
        """Add the gradient of one step's loss to the weights."""
        ...


def run_loop(
    objective: Objective,
    *,
    model: nn.Module,
    adapters: Mapping[str, nn.Parameter],
    settings: LoopSettings,
    checkpoints: CheckpointFolder,
    metrics: Path,
    report: Callable[[str], None],
) -> None:
    """Train from the newest valid checkpoint, or from the start, to the last step.

    Args:
        objective: Gives the gradients.
        model: Its parameters that require a gradient are trained.
        adapters: Adapter factors, probed for gradients in the first steps.
        settings: Steps, schedule, clipping.
        checkpoints: Where checkpoints are kept.
        metrics: File that gets one JSON line a step.
        report: Takes a line for people now and then.

    Raises:
        HarnessError: When a loss or a gradient is not finite; names step and pairs.
        ProbeError: When an adapter factor does not learn.
    """
    parameters = {name: value for name, value in model.named_parameters() if value.requires_grad}
    optimizer = make_optimizer(parameters, settings)
    start = checkpoints.restore(parameters, optimizer, report=report)
    _keep_lines(metrics, start)
    if settings.warmup_steps >= settings.steps > 0:
        report(
            f"warm-up of {settings.warmup_steps} steps leaves no decay in {settings.steps} steps; "
            f"the peak rate is {settings.rate(settings.steps - 1):.2g}"
        )
    every = max(1, math.ceil(settings.steps / _REPORTS))
    model.train()
    cadence = _Cadence(settings)
    for step in range(start, settings.steps):
        began = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        outcome = objective.backward(step)
        if step < 2:
            probe_gradients(adapters, is_first_step=step == 0)
        norm = float(nn.utils.clip_grad_norm_(parameters.values(), settings.max_grad_norm))
        _check_finite(step, outcome, norm)
        for group in optimizer.param_groups:
            group["lr"] = settings.rate(step)
        optimizer.step()
        seconds = time.perf_counter() - began
        line = _line(step, outcome, norm=norm, rate=settings.rate(step), seconds=seconds)
        with metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if step % every == 0 or step == settings.steps - 1:
            report(_describe(line, settings.steps))
        if cadence.is_due(step):
            with cadence.timed():
                checkpoints.save(parameters, optimizer, next_step=step + 1)
    model.eval()


class _Cadence:
    """When to write a checkpoint: every so many steps, but not so often that writing costs much."""

    def __init__(self, settings: LoopSettings) -> None:
        self._settings = settings
        self._saved = time.perf_counter()
        self._cost_seconds = 0.0

    def is_due(self, step: int) -> bool:
        if step == self._settings.steps - 1 or (step + 1) % self._settings.checkpoint_every != 0:
            return False
        since = time.perf_counter() - self._saved
        return self._cost_seconds < _QUICK_SECONDS or since >= _CHECKPOINT_SPACING * self._cost_seconds

    @contextlib.contextmanager
    def timed(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self._saved = time.perf_counter()
        self._cost_seconds = self._saved - began


def make_optimizer(parameters: Mapping[str, nn.Parameter], settings: LoopSettings) -> torch.optim.AdamW:
    """Return AdamW with weight decay on matrices only: norms and biases are not decayed."""
    matrices = [value for value in parameters.values() if value.ndim >= 2]
    vectors = [value for value in parameters.values() if value.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=settings.learning_rate,
        betas=(0.9, 0.999),
        eps=1e-8,
        # One pass over memory instead of a dozen; on the processor, too, most of the step's time.
        fused=True,
    )


def _check_finite(step: int, outcome: StepOutcome, norm: float) -> None:
    for name, value in (("loss", outcome.loss), ("gradient norm", norm)):
        if not math.isfinite(value):
            raise HarnessError(
                f"{name} is {value} at step {step}, on pairs {list(outcome.rows)} (counted from 0)",
                cure="Lower the learning rate or raise the temperature; look at those pairs.",
            )


def _keep_lines(metrics: Path, start: int) -> None:
    """Drop what was written about steps that will be run again, and a line cut off by a kill."""
    metrics.parent.mkdir(parents=True, exist_ok=True)
    lines = metrics.read_text(encoding="utf-8").splitlines() if metrics.exists() else []
    metrics.write_text("".join(line + "\n" for line in lines[:start]), encoding="utf-8")


def _line(
    step: int, outcome: StepOutcome, *, norm: float, rate: float, seconds: float
) -> dict[str, float]:
    return {
        "step": step,
        "loss": outcome.loss,
        **outcome.metrics,
        "grad_norm": norm,
        "learning_rate": rate,
        "tokens": outcome.tokens,
        "seconds": round(seconds, 4),
        "tokens_per_second": round(outcome.tokens / max(seconds, 1e-9), 1),
    }


def _describe(line: Mapping[str, float], steps: int) -> str:
    shown = [f"step {int(line['step']) + 1}/{steps}", f"loss {line['loss']:.4f}"]
    shown += [f"{name} {line[name]:.3f}" for name in line if name == "accuracy" or name.endswith("_gap")]
    return ", ".join([*shown, f"{line['tokens_per_second']:.0f} tokens/s"])
