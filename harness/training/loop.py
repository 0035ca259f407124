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
from functools import partial
from typing import Protocol, TypeVar

import torch
from torch import nn

from harness.errors import NonFiniteError
from harness.models.budget import is_out_of_memory
from harness.study.recipe import ContrastiveConfig, ReconstructionConfig
from harness.training.checkpoints import Best, CheckpointFolder
from harness.training.curves import Curves
from harness.training.memory import MemoryShortageError, MicroBatch, retry_smaller
from harness.training.probes import probe_gradients, probe_moved
from harness.training.ranks import ONE_RANK, Ranks
from harness.training.selection import LOSS, Selection
from harness.training.shards import whole_parameters, whole_tensor

Result = TypeVar("Result")

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
    last_step: int
    """Steps that are run: fewer than `steps`, on the same schedule, where training stops at a rung."""

    @classmethod
    def of(
        cls, config: ReconstructionConfig | ContrastiveConfig, *, checkpoint_every: int, last_step: int
    ) -> LoopSettings:
        """Return the settings of a stage's configuration."""
        return cls(
            steps=config.steps,
            learning_rate=config.learning_rate,
            warmup_steps=config.warmup_steps,
            weight_decay=config.weight_decay,
            max_grad_norm=config.max_grad_norm,
            checkpoint_every=checkpoint_every,
            last_step=last_step,
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
    selection: Selection | None = None,
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
        selection: Measures held-out pairs now and then, and knows the best step afterwards.

    Raises:
        NonFiniteError: When a loss or a gradient is not finite; names step and pairs.
        ProbeError: When an adapter factor does not learn.
    """
    optimizer = make_optimizer(parameters, settings)
    selection = selection or Selection()
    resumed = checkpoints.restore(parameters, optimizer, report=report)
    selection.best = resumed.best
    curves.start(resumed.next_step)
    _warn_of_warmup(settings, report)
    cadence = _Cadence(settings, ranks)
    within_memory = _WithinMemory(micro_batch, ranks, report)
    save_best = partial(checkpoints.save_best, parameters)
    learn = partial(
        _learn, parameters=parameters, adapters=adapters, optimizer=optimizer, settings=settings
    )
    for step in range(resumed.next_step, settings.last_step):
        began = time.perf_counter()
        outcome = within_memory(partial(_backward, objective, step, optimizer))
        norm = learn(step, outcome)
        seconds = time.perf_counter() - began
        measures = _measure(step, selection, within_memory, save_best=save_best, report=report)
        line = curves.add(
            step,
            {"loss": outcome.loss, **outcome.metrics, "grad_norm": norm, **measures},
            learning_rate=settings.rate(step),
            tokens=outcome.tokens,
            seconds=seconds,
        )
        _tell(line, settings.steps, report)
        if cadence.is_due(step):
            with cadence.timed():
                checkpoints.save(parameters, optimizer, next_step=step + 1, best=selection.best)


def _learn(
    step: int,
    outcome: StepOutcome,
    *,
    parameters: Mapping[str, nn.Parameter],
    adapters: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    settings: LoopSettings,
) -> float:
    """Check a step's gradients, move the weights by them, and return their norm."""
    if step < 2:
        probe_gradients(whole_parameters(adapters), is_first_step=step == 0)
    norm = whole_tensor(nn.utils.clip_grad_norm_(parameters.values(), settings.max_grad_norm)).item()
    _check_finite(step, outcome, norm)
    for group in optimizer.param_groups:
        group["lr"] = settings.rate(step)
    optimizer.step()
    if step == 0:
        probe_moved(whole_parameters(adapters))
    return norm


def _measure(
    step: int,
    selection: Selection,
    within_memory: _WithinMemory,
    *,
    save_best: Callable[[Best], None],
    report: Callable[[str], None],
) -> dict[str, float]:
    """Return what held-out pairs say of the weights after a step, where they are asked."""
    if not selection.is_due(step):
        return {}
    measures = selection.judge(step, within_memory(selection.take), report=report)
    if selection.best is not None and selection.best.step == step + 1:
        save_best(selection.best)
    return measures


def _warn_of_warmup(settings: LoopSettings, report: Callable[[str], None]) -> None:
    if settings.warmup_steps >= settings.steps > 0:
        report(
            f"warm-up of {settings.warmup_steps} steps leaves no decay in {settings.steps} steps; "
            f"the peak rate is {settings.rate(settings.steps - 1):.2g}"
        )


def _backward(objective: Objective, step: int, optimizer: torch.optim.Optimizer) -> StepOutcome:
    """Leave the step's gradients, and no others, in the weights."""
    optimizer.zero_grad(set_to_none=True)
    return objective.backward(step)


class _WithinMemory:
    """Runs what starts from nothing each time, in as many tries as memory needs."""

    def __init__(self, micro_batch: MicroBatch, ranks: Ranks, report: Callable[[str], None]) -> None:
        self._micro_batch, self._ranks, self._report = micro_batch, ranks, report

    def __call__(self, run: Callable[[], Result]) -> Result:
        if self._ranks.size == 1:
            return retry_smaller(run, self._micro_batch, report=self._report)
        try:
            return run()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            # A rank that tried again would leave the others waiting in a collective operation: whoever
            # started the ranks starts them again.
            raise MemoryShortageError(self._micro_batch) from error


class _Cadence:
    """When to write a checkpoint: every so many steps, but not so often that writing costs much."""

    def __init__(self, settings: LoopSettings, ranks: Ranks) -> None:
        self._settings, self._ranks = settings, ranks
        self._saved = time.perf_counter()
        self._cost_seconds = 0.0

    def is_due(self, step: int) -> bool:
        if step == self._settings.last_step - 1:
            # The end needs none; what stops at a rung is gone on with.
            return step < self._settings.steps - 1
        if (step + 1) % self._settings.checkpoint_every != 0:
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


def _tell(line: Mapping[str, float], steps: int, report: Callable[[str], None]) -> None:
    """Report a step now and then, and the last."""
    step = int(line["step"])
    if step % max(1, math.ceil(steps / _REPORTS)) != 0 and step != steps - 1:
        return
    shown = [f"step {step + 1}/{steps}", f"loss {line['loss']:.4f}"]
    shown += [
        f"{name} {line[name]:.3f}"
        for name in line
        if name == "accuracy" or name.endswith("gap") or name == LOSS
    ]
    report(", ".join([*shown, f"{line['tokens_per_second']:.0f} tokens/s"]))
