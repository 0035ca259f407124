"""How many tokens are encoded at once, and what happens when memory runs out.

Owns `Budget`. The rule: the budget follows from the device alone, halves when memory runs out and never
grows again; where a text's vector does not depend on its company it changes no bit, elsewhere it changes
a result by rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from harness.errors import HarnessError

Result = TypeVar("Result")

_CPU_TOKENS = 2048
"""Larger products are no faster on a processor, and leave its caches."""
_MOST_TOKENS = 65_536
_CUDA_SHARE = 0.25
"""Of the device's memory, for activations; the rest is the weights' and the library's."""
_LIVE_STATES = 24
"""Hidden states' worth of memory that a block holds a token at once, its feed-forward layer included."""


@dataclass(slots=True, kw_only=True)
class Budget:
    """Tokens of a forward pass."""

    tokens: int

    def run(self, encode: Callable[[], Result]) -> Result | None:
        """Return what `encode` returns, or None after halving the budget because memory ran out.

        Raises:
            HarnessError: When the budget cannot be halved any more.
        """
        try:
            return encode()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            shortage = error.with_traceback(None)
        # Outside of the handler, whose traceback would keep the failed run's tensors alive.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if self.tokens <= 1:
            raise HarnessError(
                "memory ran out while a single text was encoded",
                cure="set `model.max_length` lower, or use a device with more memory",
            ) from shortage
        self.tokens //= 2
        return None


def plan_budget(decoder: Any) -> Budget:
    """Return the tokens that are encoded at once on the network's device."""
    weight = next(decoder.parameters())
    if weight.device.type != "cuda":
        return Budget(tokens=_CPU_TOKENS)
    memory = _CUDA_SHARE * torch.cuda.get_device_properties(weight.device).total_memory
    token_bytes = _LIVE_STATES * int(decoder.config.hidden_size) * weight.element_size()
    return Budget(tokens=max(_CPU_TOKENS, min(_MOST_TOKENS, int(memory / token_bytes))))


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory ran out, on a device or on the processor."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
