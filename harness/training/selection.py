"""When a training is measured on its held-out pairs, and which of its steps was the best.

Owns the cadence and the choice. The rule: the best step is the one with the lowest held-out loss, of
equal ones the earliest; a measure that is not finite is told and chosen never; all ranks decide alike.
What is measured is the measures' affair, where the best weights lie `checkpoints`'.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from harness.training.checkpoints import Best

PREFIX = "validation_"
LOSS = f"{PREFIX}loss"
BEST_STEP = f"{PREFIX}best_step"

Measure = Callable[[], Mapping[str, float]]


class Selection:
    """What held-out pairs say of a training.

    Args:
        measure: Takes the measures of the weights as they are; None where nothing is held out.
        every: Steps between two measures.
        steps: Steps of the training; the last is measured always.
    """

    def __init__(self, measure: Measure | None = None, *, every: int = 1, steps: int = 0) -> None:
        self._measure, self._every, self._steps = measure, every, steps
        self.best: Best | None = None
        """The best step so far."""

    def is_due(self, step: int) -> bool:
        """Tell whether the weights after a step, counted from 0, are measured."""
        done = step + 1
        return self._measure is not None and (done % self._every == 0 or done == self._steps)

    def take(self) -> dict[str, float]:
        """Measure the weights as they are."""
        return dict(self._measure()) if self._measure is not None else {}

    def judge(
        self, step: int, values: Mapping[str, float], *, report: Callable[[str], None]
    ) -> dict[str, float]:
        """Take note of the measures after a step.

        Args:
            step: Number of the step, from 0.
            values: Its measures, `loss` among them.
            report: Told of measures that are not finite.

        Returns:
            What belongs into the step's line: finite measures, and the best step so far.
        """
        done = step + 1
        loss = values["loss"]
        if math.isfinite(loss) and (self.best is None or loss < self.best.loss):
            self.best = Best(step=done, loss=loss)
        found = {f"{PREFIX}{name}": value for name, value in values.items() if math.isfinite(value)}
        if len(found) < len(values):
            report(f"warning: held-out measures after step {done} are not finite: {dict(values)}")
        if self.best is not None:
            found[BEST_STEP] = self.best.step
        return found
