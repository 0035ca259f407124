"""Activations computed again in the backward pass instead of kept: memory for time.

Owns how a packed network does so, through the layers' own mechanism in transformers. The rule: the
second time a layer sees the same layout as the first, and with it the same texts, masks and dropout, so
that neither loss nor gradients change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.utils.checkpoint import checkpoint

from harness.errors import HarnessError
from harness.models.packing import current_layout, using_layout


def recompute_layers(decoder: Any) -> None:
    """Let every layer of a network in training mode keep its input alone.

    Raises:
        HarnessError: When the network's layers know no such thing.
    """
    try:
        decoder._set_gradient_checkpointing(enable=True, gradient_checkpointing_func=_run)
    except (AttributeError, ValueError) as error:
        raise HarnessError(
            f"{type(decoder).__name__} cannot compute its activations again",
            cure="Remove `resources.train.gradient_checkpointing` from the study.",
        ) from error


def _run(layer: Callable[..., Any], *arguments: Any) -> Any:
    layout = current_layout()

    def again(*values: Any) -> Any:
        # The backward pass comes after the packed run, perhaps on a thread of its own.
        with using_layout(layout):
            return layer(*values)

    # The other kind would give frozen inputs, as LoRA has, no gradient at all.
    return checkpoint(again, *arguments, use_reentrant=False)
