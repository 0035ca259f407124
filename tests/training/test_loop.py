"""Schedule, optimiser groups and the refusal of numbers that are not finite."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from harness.errors import HarnessError
from harness.training.checkpoints import CheckpointFolder
from harness.training.curves import Curves
from harness.training.loop import LoopSettings, StepOutcome, make_optimizer, run_loop
from harness.training.memory import MicroBatch

_SETTINGS = LoopSettings(
    steps=10,
    learning_rate=0.1,
    warmup_steps=4,
    weight_decay=0.01,
    max_grad_norm=1.0,
    checkpoint_every=100,
    last_step=10,
)


class _Quadratic:
    """The mean square of a layer's weights; not a number at one step."""

    def __init__(self, model: nn.Module, *, bad_step: int = -1) -> None:
        self._model = model
        self._bad_step = bad_step

    def backward(self, step: int) -> StepOutcome:
        loss = torch.stack([value.pow(2).mean() for value in self._model.parameters()]).sum()
        if step == self._bad_step:
            loss = loss * float("nan")
        loss.backward()
        return StepOutcome(loss=loss.item(), rows=[step, step + 1], tokens=5, metrics={"accuracy": 0.5})


def _run(folder: Path, settings: LoopSettings, *, bad_step: int = -1) -> tuple[nn.Module, list[str]]:
    torch.manual_seed(0)
    model, said = nn.Linear(3, 2), list[str]()
    run_loop(
        _Quadratic(model, bad_step=bad_step),
        parameters=dict(model.named_parameters()),
        adapters={},
        settings=settings,
        checkpoints=CheckpointFolder(folder / "checkpoints", identity="x"),
        curves=Curves(folder / "metrics.jsonl"),
        micro_batch=MicroBatch(tokens=64, graph_tokens=64),
        report=said.append,
    )
    return model, said


def test_the_rate_rises_and_falls_linearly_and_is_never_zero() -> None:
    rates = [_SETTINGS.rate(step) for step in range(10)]
    assert rates[:4] == pytest.approx([0.025, 0.05, 0.075, 0.1])
    assert rates[4:] == pytest.approx([0.1 * (10 - step) / 6 for step in range(4, 10)])
    assert min(rates) > 0


def test_without_warm_up_the_first_rate_is_the_peak() -> None:
    assert replace(_SETTINGS, warmup_steps=0).rate(0) == 0.1


def test_a_warm_up_longer_than_the_run_is_told(tmp_path: Path) -> None:
    _, said = _run(tmp_path, replace(_SETTINGS, warmup_steps=300))
    assert any("warm-up of 300 steps leaves no decay in 10 steps" in line for line in said)


def test_only_matrices_are_decayed() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
    groups = make_optimizer(dict(model.named_parameters()), _SETTINGS).param_groups
    assert [(group["weight_decay"], len(group["params"])) for group in groups] == [(0.01, 1), (0.0, 3)]


def test_every_step_leaves_one_line(tmp_path: Path) -> None:
    _run(tmp_path, _SETTINGS)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(10))
    assert {"loss", "accuracy", "grad_norm", "learning_rate", "tokens", "tokens_per_second"} <= set(
        lines[0]
    )
    assert lines[-1]["loss"] < lines[0]["loss"]


def test_a_loss_that_is_not_finite_names_step_and_pairs(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"loss is nan at step 3, on pairs \[3, 4\]"):
        _run(tmp_path, _SETTINGS, bad_step=3)


def test_a_gradient_that_is_not_finite_is_caught(tmp_path: Path) -> None:
    class Broken(_Quadratic):
        def backward(self, step: int) -> StepOutcome:
            outcome = super().backward(step)
            next(self._model.parameters()).grad[0, 0] = float("inf")  # type: ignore[index]
            return outcome

    model = nn.Linear(3, 2)
    with pytest.raises(HarnessError, match="gradient norm is inf at step 0"):
        run_loop(
            Broken(model),
            parameters=dict(model.named_parameters()),
            adapters={},
            settings=_SETTINGS,
            checkpoints=CheckpointFolder(tmp_path / "checkpoints", identity="x"),
            curves=Curves(tmp_path / "metrics.jsonl"),
            micro_batch=MicroBatch(tokens=64, graph_tokens=64),
            report=lambda line: None,
        )
