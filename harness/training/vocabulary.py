"""Cross-entropy over a large vocabulary without ever holding all logits.

Owns one autograd function. The rule: value and gradients equal those of the plain computation (a
test holds them together in float64), while memory grows with a chunk of tokens, not with all. The
gradients are made in the forward pass, chunk by chunk, which spares a second pass over the logits.
"""

from __future__ import annotations

from typing import Any

import torch

_CHUNK_LOGITS = 1 << 24
"""Logits held at once: 64 MiB in float32, whatever the size of the vocabulary."""


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


def summed_cross_entropy(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, *, chunk: int | None = None
) -> torch.Tensor:
    """Return the summed cross-entropy in nats of `hidden @ weight.T` against `targets`.

    Args:
        hidden: States [tokens, width].
        weight: Vocabulary matrix [vocabulary, width].
        targets: Token ids [tokens].
        chunk: Tokens whose logits are held at once; as many as fit into 64 MiB when None.

    Returns:
        A scalar in float32 or wider; once differentiable in `hidden` and `weight`.
    """
    if not torch.is_grad_enabled():
        hidden, weight = hidden.detach(), weight.detach()
    if chunk is None:
        chunk = max(_CHUNK_LOGITS // len(weight), 1)
    total: torch.Tensor = _LinearCrossEntropy.apply(hidden, weight, targets, chunk)
    return total
