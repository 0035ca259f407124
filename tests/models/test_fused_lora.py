"""The fused LoRA layer against PEFT's own."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from harness.models.dropout import use_text_dropout
from harness.models.fused_lora import fuse_lora
from harness.models.packing import make_layout, using_layout


def _adapted(*, bias: bool = True, dropout: float = 0.3, **settings: Any) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 20, bias=bias), nn.Linear(20, 6, bias=bias))
    config = LoraConfig(r=3, lora_alpha=7, lora_dropout=dropout, target_modules=["0", "1"], **settings)
    adapted = get_peft_model(model, config).double()
    for name, value in adapted.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(value)
    use_text_dropout(adapted)
    layers: nn.Module = adapted.base_model.model
    return layers.train()


def _run(model: nn.Module, *, values: torch.Tensor) -> list[torch.Tensor]:
    model.zero_grad(set_to_none=True)
    leaf = values.clone().requires_grad_()
    with using_layout(make_layout([3, 4], device=values.device, text_keys=[1, 2])):
        result = model(leaf)
    result.pow(2).sum().backward()
    assert leaf.grad is not None
    grads = [value.grad for value in model.parameters() if value.grad is not None]
    return [result.detach(), leaf.grad, *grads]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("trains_base", [True, False])
def test_it_equals_pefts_layer_in_value_and_gradients(
    bias: bool, dropout: float, trains_base: bool
) -> None:
    plain = _adapted(bias=bias, dropout=dropout)
    if trains_base:
        plain.requires_grad_(requires_grad=True)
    fused = copy.deepcopy(plain)
    assert fuse_lora(fused) == 2
    values = torch.randn(1, 7, 12, dtype=torch.float64)
    expected, found = _run(plain, values=values), _run(fused, values=values)
    assert len(found) == len(expected) == 2 + (4 + (4 if bias else 2) * trains_base)
    for left, right in zip(found, expected, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-12)


def test_it_passes_the_numerical_check_of_its_gradients() -> None:
    fused = _adapted(dropout=0.0)
    fuse_lora(fused)
    values = torch.randn(2, 12, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(fused, (values,))


def test_other_kinds_of_adapter_keep_pefts_forward() -> None:
    assert fuse_lora(_adapted(use_dora=True)) == 0
    assert fuse_lora(_adapted(lora_bias=True)) == 0


def test_outside_of_packed_runs_pefts_dropout_applies() -> None:
    fused = _adapted(dropout=0.9)
    fuse_lora(fused)
    values = torch.ones(7, 12, dtype=torch.float64)
    first, second = fused(values), fused(values)
    assert not torch.equal(first, second)
    assert torch.equal(fused.eval()(values), fused(values))
