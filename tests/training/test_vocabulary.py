"""Chunked cross-entropy against the plain one, in float64."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch.nn import functional

from harness.training.vocabulary import library_kernel, summed_cross_entropy, trusted_kernel


def _inputs(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(11, 6, generator=generator, dtype=dtype)
    weight = torch.randn(23, 6, generator=generator, dtype=dtype)
    targets = torch.randint(0, 23, (11,), generator=generator)
    return hidden.requires_grad_(), weight.requires_grad_(), targets


@pytest.mark.parametrize("chunk", [1, 4, 11, 100])
def test_value_and_gradients_equal_the_plain_ones(chunk: int) -> None:
    hidden, weight, targets = _inputs()
    plain = functional.cross_entropy(hidden @ weight.T, targets, reduction="sum") * 0.7
    expected = torch.autograd.grad(plain, (hidden, weight))
    chunked = summed_cross_entropy(hidden, weight, targets, chunk=chunk) * 0.7
    found = torch.autograd.grad(chunked, (hidden, weight))
    torch.testing.assert_close(chunked, plain, rtol=1e-13, atol=0)
    for left, right in zip(found, expected, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-14)


def test_a_second_derivation_is_refused_rather_than_wrong() -> None:
    hidden, weight, targets = _inputs()
    loss = summed_cross_entropy(hidden, weight, targets, chunk=4)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="once"):
        loss.backward()


def test_a_frozen_head_gets_no_gradient() -> None:
    hidden, weight, targets = _inputs()
    summed_cross_entropy(hidden, weight.detach(), targets, chunk=4).backward()
    assert weight.grad is None
    assert hidden.grad is not None


def test_half_precision_weights_give_a_loss_in_float32() -> None:
    hidden, weight, targets = _inputs(torch.bfloat16)
    loss = summed_cross_entropy(hidden, weight, targets, chunk=4)
    loss.backward()
    assert loss.dtype == torch.float32
    assert hidden.grad is not None
    assert hidden.grad.dtype == torch.bfloat16


def test_extreme_logits_stay_finite() -> None:
    hidden = torch.full((1, 2), 1e4, dtype=torch.float64)
    weight = torch.tensor([[1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)
    assert summed_cross_entropy(hidden, weight, torch.tensor([1])).item() == pytest.approx(4e4)


def _install(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    """Put a stand-in with the library's signature in its place, right up to `factor`."""

    def fused(hidden: Any, weight: Any, targets: Any, *, reduction: str) -> torch.Tensor:
        return factor * functional.cross_entropy(hidden @ weight.T, targets, reduction=reduction)

    module = ModuleType("liger_kernel.transformers.functional")
    module.liger_fused_linear_cross_entropy = fused  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "liger_kernel.transformers.functional", module)
    trusted_kernel.cache_clear()


def test_a_librarys_kernel_is_taken_only_after_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, weight, targets = _inputs(torch.float32)
    _install(monkeypatch, 1.0)
    kernel = trusted_kernel(hidden.device, hidden.dtype, 6)
    assert kernel is not None
    torch.testing.assert_close(
        kernel(hidden, weight, targets), summed_cross_entropy(hidden, weight, targets)
    )
    _install(monkeypatch, 1.01)
    assert trusted_kernel(hidden.device, hidden.dtype, 6) is None
    trusted_kernel.cache_clear()


def test_on_a_processor_no_librarys_kernel_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, 1.0)
    hidden, weight, _ = _inputs(torch.float32)
    assert library_kernel(hidden, weight) is None
    trusted_kernel.cache_clear()
