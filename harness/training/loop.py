"""One training loop for all stages.

Owns optimiser, schedule, clipping and the order of a step. The rule: a step depends on the weights, the
optimiser's state and the step's number, and on nothing else, so that going on from a checkpoint equals
never having stopped. The loss is the objective's affair, what is written down about it the curves'.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import nn

from harness.errors import NonFiniteError
from harness.study.recipe import ContrastiveConfig, ReconstructionConfig
from harness.training.checkpoints import CheckpointFolder
from harness.training.curves import Curves
from harness.training.memory import MemoryShortageError, MicroBatch, is_out_of_memory, retry_smaller
from harness.training.probes import probe_gradients, probe_moved
from harness.training.ranks import ONE_RANK, Ranks
from harness.training.shards import whole_parameters, whole_tensor

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
    parameters: Mapping[str, nn.Parameter],
    adapters: Mapping[str, nn.Parameter],
    settings: LoopSettings,
    checkpoints: CheckpointFolder,
    curves: Curves,
    micro_batch: MicroBatch,
    report: Callable[[str], None],
    ranks: Ranks = ONE_RANK,
) -> None:
    """Train from the newest valid checkpoint, or from the start, to the last step.

    Args:
        objective: Gives the gradients.
        parameters: What is trained, by name.
        adapters: Adapter factors, probed for gradients in the first steps.
        settings: Steps, schedule, clipping.
        checkpoints: Where checkpoints are kept.
        curves: Takes what is to be known of each step.
        micro_batch: Halved where memory runs out, and the step run again.
        report: Takes a line for people now and then.
        ranks: The processes that train together.

    Raises:
        NonFiniteError: When a loss or a gradient is not finite; names step and pairs.
        ProbeError: When an adapter factor does not learn.
    """
    optimizer = make_optimizer(parameters, settings)
    start = checkpoints.restore(parameters, optimizer, report=report)
    curves.start(start)
    _warn_of_warmup(settings, report)
    every = max(1, math.ceil(settings.steps / _REPORTS))
    cadence = _Cadence(settings, ranks)
    for step in range(start, settings.steps):
        began = time.perf_counter()
        outcome = _backward(objective, step, optimizer, micro_batch, ranks=ranks, report=report)
        if step < 2:
            probe_gradients(whole_parameters(adapters), is_first_step=step == 0)
        norm = whole_tensor(nn.utils.clip_grad_norm_(parameters.values(), settings.max_grad_norm)).item()
        _check_finite(step, outcome, norm)
        _update(optimizer, settings.rate(step))
        if step == 0:
            probe_moved(whole_parameters(adapters))
        line = curves.add(
            step,
            {"loss": outcome.loss, **outcome.metrics, "grad_norm": norm},
            learning_rate=settings.rate(step),
            tokens=outcome.tokens,
            seconds=time.perf_counter() - began,
        )
        if step % every == 0 or step == settings.steps - 1:
            report(_describe(line, settings.steps))
        if cadence.is_due(step):
            with cadence.timed():
                checkpoints.save(parameters, optimizer, next_step=step + 1)


def _warn_of_warmup(settings: LoopSettings, report: Callable[[str], None]) -> None:
    if settings.warmup_steps >= settings.steps > 0:
        report(
            f"warm-up of {settings.warmup_steps} steps leaves no decay in {settings.steps} steps; "
            f"the peak rate is {settings.rate(settings.steps - 1):.2g}"
        )


def _backward(
    objective: Objective,
    step: int,
    optimizer: torch.optim.Optimizer,
    micro_batch: MicroBatch,
    *,
    ranks: Ranks,
    report: Callable[[str], None],
) -> StepOutcome:
    """Leave the step's gradients in the weights, in as many tries as memory needs."""

    def run() -> StepOutcome:
        optimizer.zero_grad(set_to_none=True)
        return objective.backward(step)

    if ranks.size == 1:
        return retry_smaller(run, micro_batch, report=report)
    try:
        return run()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        # A rank that tried again would leave the others waiting in a collective operation: whoever
        # started the ranks starts them again.
        raise MemoryShortageError(micro_batch) from error


def _update(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()


class _Cadence:
    """When to write a checkpoint: every so many steps, but not so often that writing costs much."""

    def __init__(self, settings: LoopSettings, ranks: Ranks) -> None:
        self._settings, self._ranks = settings, ranks
        self._saved = time.perf_counter()
        self._cost_seconds = 0.0

    def is_due(self, step: int) -> bool:
        if step == self._settings.steps - 1 or (step + 1) % self._settings.checkpoint_every != 0:
            return False
        since = time.perf_counter() - self._saved
        is_due = self._cost_seconds < _QUICK_SECONDS or since >= _CHECKPOINT_SPACING * self._cost_seconds
        # Clocks differ between ranks, which must write together.
        return self._ranks.agree(is_due) > 0

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
            raise NonFiniteError(
                f"{name} is {value} at step {step}, on pairs {list(outcome.rows)} (counted from 0)",
                cure="Lower the learning rate or raise the temperature; look at those pairs.",
            )


def _describe(line: Mapping[str, float], steps: int) -> str:
    shown = [f"step {int(line['step']) + 1}/{steps}", f"loss {line['loss']:.4f}"]
    shown += [f"{name} {line[name]:.3f}" for name in line if name == "accuracy" or name.endswith("gap")]
    return ", ".join([*shown, f"{line['tokens_per_second']:.0f} tokens/s"])
