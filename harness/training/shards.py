"""Tensors that may lie on several ranks in shards, seen whole.

Owns the way from shards to whole tensors and back. The rule: every rank asks in the same order, and all
get the same; a tensor that is no shard is returned as it is. What is true of a shard need not be true
of the tensor, so no check reads one.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor


def whole_tensor(value: torch.Tensor) -> torch.Tensor:
    """Return a tensor with the shards of all ranks."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def spread_like(parameter: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """Return a whole tensor on a parameter's device, in shards where the parameter is.

    Nothing is sent: every rank has the whole one.
    """
    whole = whole.to(parameter.device)
    if not isinstance(parameter, DTensor):
        return whole
    return distribute_tensor(whole, parameter.device_mesh, parameter.placements, src_data_rank=None)


def whole_parameters(parameters: Mapping[str, nn.Parameter]) -> dict[str, nn.Parameter]:
    """Return parameters with whole values and gradients; those in shards as copies."""
    found = {}
    for name, parameter in parameters.items():
        found[name] = parameter
        if isinstance(parameter, DTensor):
            found[name] = nn.Parameter(whole_tensor(parameter.detach()))
            if parameter.grad is not None:
                found[name].grad = whole_tensor(parameter.grad)
    return found
