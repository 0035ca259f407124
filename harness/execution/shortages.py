"""How a lack of memory is told.

Owns the words for it: the peak that was reached, the limit that there was, and the settings that help a
kind of step. The rule: what is measured is the process that tells, or the one that ended; where a device
ran out and no device can be asked, no figure is made up.
"""

from __future__ import annotations

import sys

from harness.identity.memory import memory_limit_bytes, peak_memory_bytes

_GIB = 1 << 30
_TRAINING = {"reconstruct", "contrast"}
_ENCODING = {"evaluate", "embed"}


def peak_of_limit(peak_bytes: int, limit_bytes: int) -> str:
    """Return a peak and its limit, for people."""
    return f"peak {peak_bytes / _GIB:.1f} GiB of {limit_bytes / _GIB:.1f} GiB"


def host_memory() -> str:
    """Return the most memory that this process has had, and what it may have."""
    return peak_of_limit(peak_memory_bytes(), memory_limit_bytes())


def device_memory() -> str:
    """Return the most memory that this process has had of its device, and what that has.

    Empty where torch has not come to use a device: who describes errors need not load it.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return ""
    limit = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    return peak_of_limit(torch.cuda.max_memory_allocated(), limit)


def cure_of(stage: str, *, is_device: bool) -> str:
    """Return what to set where memory does not suffice for a stage's steps."""
    if stage in _TRAINING:
        smaller = (
            "lower `resources.train.micro_batch`, which leaves the effective batch as it is, or set "
            "`resources.train.gradient_checkpointing: true`"
        )
        if is_device:
            return f"{smaller}; `resources.train.ranks` with `strategy: fsdp` shares the weights out"
        return f"{smaller}, or {_fewer('train')}"
    if stage in _ENCODING:
        if is_device:
            return "raise each step's share, `resources.evaluate.gpus`, or lower `model.max_length`"
        parts = "set `resources.shard_documents`, so that a corpus is taken in parts"
        return f"{parts}, or {_fewer('evaluate')}"
    return _fewer("prepare")


def _fewer(kind: str) -> str:
    return f"give each step more `resources.{kind}.cpus`, so that fewer run side by side"
