"""What is said of a step for which memory did not suffice.

Owns the words. The rule: they name the peak, what there is, and settings that this kind of step heeds,
so that nobody turns a setting of training because a task's corpus was too large.
"""

from __future__ import annotations

from harness.identity.memory import memory_limit_bytes, peak_memory_bytes

_GIB = 1 << 30
_TRAINING = (
    "lower `resources.train.micro_batch`, set `resources.train.gradient_checkpointing: true`, or give"
    " each step more `resources.train.cpus`, so that fewer run side by side"
)
_EVALUATION = (
    "give each step more `resources.evaluate.cpus`, so that fewer run side by side, encode large corpora"
    " in parts with `resources.shard_documents`, or lower `model.max_length`"
)
_OTHERS = "give each step more `resources.prepare.cpus`, so that fewer run side by side"


def settings_to_turn(stage: str) -> str:
    """Return what to do about a step of a stage that lacked memory."""
    if stage in {"reconstruct", "contrast"}:
        return _TRAINING
    return _EVALUATION if stage in {"embed", "evaluate"} else _OTHERS


def memory_use(peak_bytes: int | None = None, limit_bytes: int | None = None) -> str:
    """Return peak and limit as text; this process's where they are not given."""
    peak = peak_memory_bytes() if peak_bytes is None else peak_bytes
    limit = memory_limit_bytes() if limit_bytes is None else limit_bytes
    return f"peak {peak / _GIB:.1f} GiB of {limit / _GIB:.1f} GiB"
