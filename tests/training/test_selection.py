"""Which step is the best: the lowest held-out loss, the earliest of equals, never what is no number."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from harness.training.checkpoints import Best
from harness.training.selection import Selection


def _judge(losses: Sequence[float]) -> tuple[Selection, list[dict[str, float]], list[str]]:
    said: list[str] = []
    selection = Selection(dict, steps=len(losses))
    lines = [
        selection.judge(step, {"loss": loss, "mrr": 0.5}, report=said.append)
        for step, loss in enumerate(losses)
    ]
    return selection, lines, said


@pytest.mark.parametrize(
    ("losses", "step"),
    [
        ([3.0, 2.0, 4.0], 2),
        ([3.0, 2.0, 2.0], 2),
        ([1.0, 1.0], 1),
        ([math.nan, 5.0, math.nan], 2),
        ([math.inf, 5.0, -math.inf], 2),
    ],
)
def test_the_lowest_loss_is_the_best_and_of_equal_ones_the_earliest(
    losses: Sequence[float], step: int
) -> None:
    selection, lines, _ = _judge(losses)
    assert selection.best == Best(step=step, loss=losses[step - 1])
    assert lines[-1]["validation_best_step"] == step


def test_what_is_not_finite_is_told_and_not_written() -> None:
    selection, lines, said = _judge([math.nan])
    assert selection.best is None
    assert lines == [{"validation_mrr": 0.5}]
    assert said == ["warning: held-out measures after step 1 are not finite: {'loss': nan, 'mrr': 0.5}"]


@pytest.mark.parametrize(
    ("every", "steps", "due"), [(2, 5, [2, 4, 5]), (3, 6, [3, 6]), (10, 4, [4]), (1, 2, [1, 2])]
)
def test_every_so_many_steps_and_the_last_are_measured(every: int, steps: int, due: list[int]) -> None:
    selection = Selection(dict, every=every, steps=steps)
    assert [step + 1 for step in range(steps) if selection.is_due(step)] == due


def test_nothing_is_measured_where_nothing_is_held_out() -> None:
    assert not any(Selection(steps=3).is_due(step) for step in range(3))
