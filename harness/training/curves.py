"""What is written down about each training step.

Owns `metrics.jsonl`, one JSON line a step, and hands the same numbers to trackers. The rule: a resumed
run's file reads like that of a run that never stopped; numbers that depend on the machine (seconds,
memory) stand beside those that do not, under names of their own.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch

METRICS = "metrics.jsonl"
_GIB = 1 << 30


class Tracker(Protocol):
    """A service that draws curves."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Take the numbers of a step."""

    def close(self) -> None:
        """Send what is left."""


class Curves:
    """The curves of one run.

    Args:
        path: File that gets a line a step; None writes none (ranks other than the first).
        trackers: Get the same numbers.
    """

    def __init__(self, path: Path | None, *, trackers: Sequence[Tracker] = ()) -> None:
        self._path, self._trackers = path, trackers

    def start(self, next_step: int) -> None:
        """Drop what was written about steps that will be run again, and a line cut off by a kill."""
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []
        self._path.write_text("".join(line + "\n" for line in lines[:next_step]), encoding="utf-8")

    def add(
        self,
        step: int,
        values: Mapping[str, float],
        *,
        learning_rate: float,
        tokens: int,
        seconds: float,
    ) -> dict[str, float]:
        """Write one step and return its line.

        Args:
            step: Number of the step, from 0.
            values: Loss and metrics.
            learning_rate: The step's rate.
            tokens: Tokens of the batch that went through the network, over all ranks.
            seconds: Wall time of the step.
        """
        line = {
            "step": step,
            **values,
            "learning_rate": learning_rate,
            "tokens": tokens,
            "seconds": round(seconds, 4),
            "tokens_per_second": round(tokens / max(seconds, 1e-9), 1),
            "peak_memory_gib": round(peak_memory_bytes() / _GIB, 3),
        }
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        for tracker in self._trackers:
            tracker.log(step, {name: value for name, value in line.items() if name != "step"})
        return line

    def close(self) -> None:
        """Let the trackers send what is left."""
        for tracker in self._trackers:
            tracker.close()


def peak_memory_bytes() -> int:
    """Return the most memory that this process has held, on its device where it has one."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    # Kibibytes everywhere but on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
