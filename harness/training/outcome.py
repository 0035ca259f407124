"""Which step a trained folder's weights are from, and how that step did on held-out pairs.

Owns `harness_training.json`, written where pairs are held out. The rule: it is read off the curves, and
holds nothing that another run of the same job would not write.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.training.curves import METRICS
from harness.training.job import TrainingJob
from harness.training.selection import BEST_STEP, LOSS, PREFIX

OUTCOME = "harness_training.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a stage left."""

    keep: str
    """`last` or `best`: which step's weights were asked for."""
    step: int
    """Steps that the folder's weights have seen."""
    num_steps: int
    """Steps of the stage."""
    measures: Mapping[str, float]
    """Held-out measures of the folder's weights."""
    best_step: int | None
    """The step with the lowest held-out loss; None where none was finite."""
    best_measures: Mapping[str, float]
    """Its held-out measures."""
    chosen_by: str = LOSS
    """The measure by which a step is the best: the lowest, of equal ones the earliest."""

    def describe(self) -> str:
        """Return one line for people."""
        measured = ", ".join(f"{name} {value:.4f}" for name, value in self.measures.items())
        best = "" if self.best_step in {None, self.step} else f"; the best by {LOSS}: {self.best_step}"
        return f"the weights are those after step {self.step} of {self.num_steps} ({measured}){best}"


def read_outcome(job: TrainingJob) -> Outcome:
    """Return what a finished job's curves say of it."""
    lines = (job.scratch / METRICS).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    best_step = rows[-1].get(BEST_STEP) if rows else None
    step = best_step if job.keeps_best and best_step is not None else len(rows)
    return Outcome(
        keep=job.config.keep,
        step=step,
        num_steps=len(rows),
        measures=_measures(rows, step),
        best_step=best_step,
        best_measures=_measures(rows, best_step or 0),
    )


def _measures(rows: list[dict[str, Any]], step: int) -> dict[str, float]:
    """Return the held-out measures of the weights after a step; none for those before the first."""
    row = rows[step - 1] if step > 0 else {}
    return {name: row[name] for name in row if name.startswith(PREFIX) and name != BEST_STEP}


def write_outcome(folder: Path, outcome: Outcome) -> None:
    """Write `harness_training.json` into a model folder."""
    text = json.dumps(asdict(outcome), indent=2, sort_keys=True, allow_nan=False)
    (folder / OUTCOME).write_text(text + "\n", encoding="utf-8")
