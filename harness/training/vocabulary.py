"""Cross-entropy over a large vocabulary without ever holding all logits.

Owns one autograd function, and the choice of Liger's kernel on CUDA devices where it is installed (extra
`cuda`) and a trial shows that it works. The rule: value and gradients equal those of the plain
computation (a test holds them together in float64), while memory grows with a chunk of tokens, not with
all. The gradients are made in the forward pass, chunk by chunk, which spares a second pass over the
logits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch.nn import functional

_CHUNK_LOGITS = 1 << 23
"""Logits held at once: 32 MiB in float32, whatever the size of the vocabulary."""


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, chunk: int
    ) -> torch.Tensor:
        wants_hidden, wants_weight = ctx.needs_input_grad[:2]
        wide = torch.promote_types(hidden.dtype, torch.float32)
        total = torch.zeros((), dtype=wide, device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if wants_hidden else None
        grad_weight = torch.zeros_like(weight, dtype=wide) if wants_weight else None
        for start in range(0, hidden.shape[0], chunk):
            part = hidden[start : start + chunk]
            labels = targets[start : start + chunk, None]
            logits = (part @ weight.T).to(wide)
            log_total = torch.logsumexp(logits, dim=-1, keepdim=True)
            total += (log_total - logits.gather(1, labels)).sum()
            if not wants_hidden and not wants_weight:
                continue
            slope = logits.sub_(log_total).exp_()
            slope.scatter_add_(1, labels, torch.full_like(labels, -1, dtype=wide))
            slope = slope.to(weight.dtype)
            if grad_hidden is not None:
                grad_hidden[start : start + chunk] = slope @ weight
            if grad_weight is not None:
                # In place: a product of its own would be as large as the head.
                grad_weight.addmm_(slope.T.to(wide), part.to(wide))
        ctx.grads = (grad_hidden, grad_weight)
        ctx.weight_dtype = weight.dtype
        return total

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        if ctx.grads is None:
            raise RuntimeError("this loss can be differentiated once: its gradients are scaled in place")
        scale = grads[0]
        (grad_hidden, grad_weight), ctx.grads = ctx.grads, None
        for_hidden = None if grad_hidden is None else grad_hidden.mul_(scale.to(grad_hidden.dtype))
        for_weight = None if grad_weight is None else grad_weight.mul_(scale).to(ctx.weight_dtype)
        return for_hidden, for_weight, None, None


Kernel = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def library_kernel(hidden: torch.Tensor, weight: torch.Tensor) -> Kernel | None:
    """Return Liger's fused kernel for tensors like these, None where there is none to be trusted."""
    if hidden.device.type != "cuda":
        return None
    return trusted_kernel(hidden.device, hidden.dtype, weight.shape[1])


@cache
def trusted_kernel(device: torch.device, dtype: torch.dtype, width: int) -> Kernel | None:
    """Return Liger's kernel if, in a trial on the device, loss and gradient are those of plain torch."""
    try:
        from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy
    except (ImportError, RuntimeError):
        return None

    def kernel(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        loss: torch.Tensor = liger_fused_linear_cross_entropy(hidden, weight, targets, reduction="sum")
        return loss

    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(8, width, generator=generator).to(device, dtype).requires_grad_()
    weight = (torch.randn(64, width, generator=generator) / width**0.5).to(device, dtype)
    targets = torch.arange(8, device=device)
    plain = functional.cross_entropy((hidden @ weight.T).float(), targets, reduction="sum")
    wanted = torch.autograd.grad(plain, hidden)[0]
    try:
        found = kernel(hidden, weight, targets)
        slope = torch.autograd.grad(found, hidden)[0]
    except RuntimeError:
        return None
    tolerance = 1e-4 if dtype == torch.float32 else 2e-2
    is_same = torch.allclose(found.float(), plain, rtol=tolerance) and torch.allclose(
        slope.float(), wanted.float(), rtol=tolerance, atol=tolerance
    )
    return kernel if is_same else None


def summed_cross_entropy(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, *, chunk: int | None = None
) -> torch.Tensor:
    """Return the summed cross-entropy in nats of `hidden @ weight.T` against `targets`.

    Args:
        hidden: States [tokens, width].
        weight: Vocabulary matrix [vocabulary, width].
        targets: Token ids [tokens].
        chunk: Tokens whose logits are held at once; as many as fit into 32 MiB when None.

    Returns:
        A scalar in float32 or wider; once differentiable in `hidden` and `weight`.
    """
    if not torch.is_grad_enabled():
        hidden, weight = hidden.detach(), weight.detach()
    if chunk is None:
        kernel = library_kernel(hidden, weight)
        if kernel is not None:
            return kernel(hidden, weight, targets)
        chunk = max(_CHUNK_LOGITS // len(weight), 1)
    total: torch.Tensor = _LinearCrossEntropy.apply(hidden, weight, targets, chunk)
    return total
