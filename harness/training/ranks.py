"""What training asks of the processes that share a model.

Owns the protocol `Ranks` and its simplest form, one process. The rule: an objective is written once, in
terms of what all ranks do together; gradients are summed over ranks, so that a batch gives the same ones
however many ranks share it. The forms with several processes are `distributed`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeVar

import torch

Result = TypeVar("Result")


class Ranks(Protocol):
    """The processes that train one model together."""

    @property
    def rank(self) -> int:
        """Number of this process."""

    @property
    def size(self) -> int:
        """Number of processes."""

    @property
    def gradient_scale(self) -> float:
        """What a loss must be multiplied by, so that gradients come out summed over the ranks."""

    def forward(self, run: Callable[[], Result]) -> Result:
        """Call `run` as a forward pass of the shared model."""

    def accumulate(self, *, is_last: bool) -> AbstractContextManager[None]:
        """Surround a forward and backward pass; gradients are exchanged in the last one of a step."""

    def gather(self, vectors: torch.Tensor, counts: Sequence[int]) -> torch.Tensor:
        """Return the vectors of all ranks [sum of counts, width], in the ranks' order.

        Args:
            vectors: This rank's, without a graph [counts[rank], width].
            counts: Vectors of each rank.
        """

    def total(self, values: Sequence[float]) -> list[float]:
        """Return the sums of some numbers over the ranks."""


class OneRank:
    """A single process."""

    rank = 0
    size = 1
    gradient_scale = 1.0

    def forward(self, run: Callable[[], Result]) -> Result:
        """Call `run`."""
        return run()

    def accumulate(self, *, is_last: bool) -> AbstractContextManager[None]:  # noqa: ARG002
        """Do nothing: there is nobody to exchange gradients with."""
        return nullcontext()

    def gather(self, vectors: torch.Tensor, counts: Sequence[int]) -> torch.Tensor:  # noqa: ARG002
        """Return `vectors`."""
        return vectors

    def total(self, values: Sequence[float]) -> list[float]:
        """Return the numbers."""
        return list(values)


ONE_RANK: Ranks = OneRank()
