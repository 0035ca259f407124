"""One pass through a linear layer and its adapter, in place of PEFT's five.

Owns the fused forward and backward of PEFT's plain LoRA layer. The rule: it computes what PEFT's own
forward computes, x W' + s B A drop(x), with the same adapters in the same modules, and steps aside
wherever anything else is asked for (other kinds of adapter, several at once, merged weights, mixed
types).
It keeps neither the dropped input nor the adapter's output for the backward pass.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from peft.tuners.lora.layer import Linear as LoraLinear
from torch import nn
from torch.nn import functional

from harness.models.dropout import TextDropout


def fuse_lora(model: nn.Module) -> int:
    """Give every plain LoRA layer of `model` the fused forward; return how many have it."""
    layers = [layer for layer in model.modules() if type(layer) is LoraLinear and _is_plain(layer)]
    for layer in layers:
        layer.forward = MethodType(_forward, layer)
    return len(layers)


def _is_plain(layer: Any) -> bool:
    """Tell whether a layer is nothing but W x + s B A x."""
    if len(layer.active_adapters) != 1 or list(layer.lora_A) != list(layer.active_adapters):
        return False
    (name,) = layer.active_adapters
    first, second = layer.lora_A[name], layer.lora_B[name]
    extras = (layer.lora_embedding_A, layer.lora_magnitude_vector, getattr(layer, "lora_variant", {}))
    has_bias = first.bias is not None or second.bias is not None
    return not any(len(extra) for extra in extras) and not has_bias


def _forward(layer: Any, values: torch.Tensor, *arguments: Any, **keywords: Any) -> Any:
    (name,) = layer.lora_A
    base, first, second = layer.base_layer, layer.lora_A[name], layer.lora_B[name]
    same_type = values.dtype == base.weight.dtype == first.weight.dtype == second.weight.dtype
    if layer.merged or layer.disable_adapters or not same_type or type(base) is not nn.Linear:
        return LoraLinear.forward(layer, values, *arguments, **keywords)
    dropout = layer.lora_dropout[name]
    kept, scale = None, float(layer.scaling[name])
    if isinstance(dropout, TextDropout):
        kept = dropout.kept(values)
        scale *= dropout.gain if kept is not None else 1.0
    if kept is None and dropout.training and not isinstance(dropout, nn.Identity):
        return LoraLinear.forward(layer, values, *arguments, **keywords)
    return _FusedLora.apply(values, base.weight, base.bias, first.weight, second.weight, kept, scale)


class _FusedLora(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        values: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        first: torch.Tensor,
        second: torch.Tensor,
        kept: torch.Tensor | None,
        scale: float,
    ) -> torch.Tensor:
        flat = values.flatten(0, -2)
        low = _drop(flat, kept) @ first.T
        result = functional.linear(flat, weight, bias).addmm_(low, second.T, alpha=scale)
        ctx.save_for_backward(values, weight, first, second, kept, low)
        ctx.scale = scale
        return result.view(*values.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        values, weight, first, second, kept, low = ctx.saved_tensors
        flat, slope = values.flatten(0, -2), grads[0].flatten(0, -2)
        wants_values, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        low_slope = slope @ second
        if ctx.scale != 1.0:
            low_slope *= ctx.scale
        for_first = low_slope.T @ _drop(flat, kept)
        for_second = (slope.T @ low).mul_(ctx.scale)
        for_values = None
        if wants_values:
            for_values = slope @ weight
            if kept is None:
                for_values.addmm_(low_slope, first)
            else:
                for_values += _drop(low_slope @ first, kept)
            for_values = for_values.view_as(values)
        for_weight = slope.T @ flat if wants_weight else None
        for_bias = slope.sum(dim=0) if wants_bias else None
        return for_values, for_weight, for_bias, for_first, for_second, None, None


def _drop(values: torch.Tensor, kept: torch.Tensor | None) -> torch.Tensor:
    """Return `values` [tokens, width] with zeros where they are not kept; the gain is in the scale."""
    return values if kept is None else torch.where(kept, values, values.new_zeros(()))
