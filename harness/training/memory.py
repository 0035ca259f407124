"""How many tokens may go through a network at once, by a forecast of the memory that they take.

Owns `MicroBatch`. The rule: the size of a sub-batch is a matter of memory alone and never changes a
result beyond rounding; it follows from the network and the device, not from what else happens to run,
so that the same machine makes the same choice again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from harness.errors import HarnessError, MemoryLimitError
from harness.identity.memory import memory_limit_bytes, peak_memory_bytes
from harness.models.budget import is_out_of_memory
from harness.models.forward import embed_rows

Result = TypeVar("Result")

_GIB = 1 << 30
_CPU_GIB = 4.0
_CUDA_SHARE = 0.5
_MOST_TOKENS = 4096
"""Larger products are no faster."""
_FEWEST_TOKENS = 64
_TRIAL_TOKENS = 96


@dataclass(slots=True, kw_only=True)
class MicroBatch:
    """The size of a sub-batch, which shrinks where memory runs out."""

    tokens: int
    """Tokens of a sub-batch; a longer text makes one of its own."""
    graph_tokens: int
    """Tokens of the largest batch whose activations all fit at once."""

    def halve(self, error: BaseException) -> None:
        """Take half as many tokens from now on.

        Raises:
            MemoryLimitError: When a sub-batch is a single short text already.
        """
        if self.tokens <= _FEWEST_TOKENS:
            raise MemoryLimitError(
                f"memory ran out with sub-batches of {self.tokens} tokens ({_peak_and_limit()})",
                cure="Set `resources.train.gradient_checkpointing: true` (`resources.train.micro_batch` "
                "cannot go lower), shorten the texts, or use a device with more memory.",
            ) from error
        self.tokens //= 2
        self.graph_tokens = min(self.graph_tokens // 2, self.tokens)


class MemoryShortageError(HarnessError):
    """Memory ran out on one of several ranks, which can go on with smaller sub-batches if all do.

    Args:
        micro_batch: The sizes that were too large.
    """

    def __init__(self, micro_batch: MicroBatch) -> None:
        super().__init__(
            f"a rank's memory ran out with sub-batches of {micro_batch.tokens} tokens",
            cure="Set `resources.train.micro_batch` lower, or "
            "`resources.train.gradient_checkpointing: true`.",
        )
        self.micro_batch = micro_batch

    def __reduce__(self) -> tuple[object, ...]:
        return (MemoryShortageError, (self.micro_batch,))


def plan_micro_batch(
    decoder: Any,
    *,
    tokens: int | None = None,
    memory_gib: float | None = None,
) -> MicroBatch:
    """Return the sub-batches that a network's activations allow.

    Args:
        decoder: The network as it is trained: with its adapters, and with gradient checkpointing if so.
        tokens: Tokens of a sub-batch; forecast when None.
        memory_gib: Memory for activations; 4 GiB on a processor and half of a CUDA device when None.
    """
    device = next(decoder.parameters()).device
    limit = _GIB * memory_gib if memory_gib is not None else _usual_bytes(device)
    affordable = int(limit / max(activation_bytes(decoder), 1.0))
    if tokens is None:
        tokens = max(min(affordable // 2, _MOST_TOKENS), _FEWEST_TOKENS)
    return MicroBatch(tokens=tokens, graph_tokens=affordable)


def _usual_bytes(device: torch.device) -> float:
    if device.type == "cuda":
        return _CUDA_SHARE * torch.cuda.get_device_properties(device).total_memory
    return _CPU_GIB * _GIB


def activation_bytes(decoder: Any) -> float:
    """Return the bytes a token that a network keeps for its backward pass.

    They are counted on a short text: everything that autograd saves, but weights, each storage once.
    """
    weights = {value.untyped_storage().data_ptr() for value in decoder.parameters()}
    sizes: dict[int, int] = {}
    kept: list[torch.Tensor] = []

    def count(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes()
            # Kept alive, so that no other tensor gets the same address.
            kept.append(tensor)
        return tensor

    was_training = decoder.training
    decoder.train()
    with torch.random.fork_rng(), torch.autograd.graph.saved_tensors_hooks(count, lambda saved: saved):
        # Any token will do: what is saved does not depend on which it is.
        vectors = embed_rows(decoder, [[1] * _TRIAL_TOKENS], "last", text_keys=[0])
    del vectors
    decoder.train(was_training)
    return sum(sizes.values()) / _TRIAL_TOKENS


def _peak_and_limit() -> str:
    """Return how much memory was taken at once and how much there is, of the device or the machine."""
    peak, limit = peak_memory_bytes(), memory_limit_bytes()
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated()
        limit = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    return f"peak {peak / _GIB:.1f} GiB of {limit / _GIB:.1f} GiB"


def retry_smaller(
    run: Callable[[], Result], micro_batch: MicroBatch, *, report: Callable[[str], None]
) -> Result:
    """Return what `run` returns, called again with half the sub-batch each time that memory runs out.

    Args:
        run: Starts from nothing each time, and reads `micro_batch` afresh.
        micro_batch: Halved in place.
        report: Told of each halving.

    Raises:
        MemoryLimitError: When halving cannot help any more.
    """
    while True:
        try:
            return run()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            shortage = error.with_traceback(None)
        # Outside of the handler, whose traceback would keep the failed run's tensors alive.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        micro_batch.halve(shortage)
        report(f"memory ran out; going on with sub-batches of {micro_batch.tokens} tokens")
