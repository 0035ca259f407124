"""Checks of losses and gradients, on the model that is about to be trained.

Owns the probes that need a loss: labels, precision, gradient cache, prompts, adapter factors. The rule:
each takes what it checks as a plain function or mapping, compares it with a computation of its own, in
float64 where numbers are compared, and raises a `ProbeError` that names the cause. Which functions a
stage hands over is decided in `examination` and in the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from harness.errors import ProbeError
from harness.models.anchor import AnchorTokenizer
from harness.models.lora import is_second_factor
from harness.study.recipe import PromptConfig

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Takes vectors of queries and of documents (positives in the queries' order, then hard negatives)."""
Backward = Callable[[], float]
"""Adds the gradient of a loss to the weights, and returns the loss."""
Rows = Sequence[Sequence[int]]

# Float32 stays within 1e-5 at temperature 0.02; sixteen bits are off by 0.01 and more.
_LOSS_TOLERANCE = 1e-3
_GRADIENT_TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-3}
_SIXTEEN_BITS_TOLERANCE = 5e-2
# Gradients of a billion weights are not copied for a check.
_MOST_COPIED = 20_000_000


def probe_contrastive_loss(
    loss_of: Loss,
    queries: torch.Tensor,
    documents: torch.Tensor,
    *,
    temperature: float,
    symmetric: bool = False,
) -> None:
    """Check a contrastive loss and its gradient: finite, labels right, similarities in float32 or wider.

    Args:
        loss_of: The loss, with nothing masked.
        queries: Vectors of the real model, in its type [queries, width].
        documents: The positives' in the queries' order, then hard negatives' [documents, width].
        temperature: As the study names it.
        symmetric: Whether documents choose among queries, too.

    Raises:
        ProbeError: When the loss is not InfoNCE over these labels, or is not exact enough.
    """
    leaves = [item.detach().clone().requires_grad_() for item in (queries, documents)]
    loss = loss_of(*leaves)
    if not bool(torch.isfinite(loss)):
        raise ProbeError(
            f"the loss of the probe texts is {loss.item()}",
            cure="Raise the temperature; check that the base gives finite vectors.",
        )
    if loss.dtype not in (torch.float32, torch.float64):
        raise ProbeError(f"the loss is computed in {loss.dtype}; it must be float32 or wider")
    wide = [item.detach().double().requires_grad_() for item in (queries, documents)]
    expected = _plain_info_nce(*wide, temperature=temperature, symmetric=symmetric)
    off = abs(loss.item() - expected.item()) / (1 + abs(expected.item()))
    if not off <= _LOSS_TOLERANCE:
        raise ProbeError(
            f"the loss of the probe texts is {loss.item():.6g}, and {expected.item():.6g} in float64 "
            "with each query's own positive as its label",
            cure="Labels are shuffled, a hard negative is taken for a positive, the temperature is "
            "another, or similarities are computed in 16 bits.",
        )
    slopes = torch.autograd.grad(loss, leaves)
    right = torch.autograd.grad(expected, wide)
    tolerance = _gradient_tolerance(queries.dtype)
    for name, slope, wanted in zip(("queries", "documents"), slopes, right, strict=True):
        scale = wanted.abs().max().item()
        difference = (slope.double() - wanted).abs().max().item()
        if not difference <= tolerance * scale:
            raise ProbeError(
                f"the loss's gradient at the {name}' vectors differs from the exact one by "
                f"{difference:.2g} (largest element {scale:.2g})",
                cure="Similarities must be computed in float32 or wider, and every vector must get a "
                "gradient.",
            )


def _plain_info_nce(
    queries: torch.Tensor, documents: torch.Tensor, *, temperature: float, symmetric: bool
) -> torch.Tensor:
    """Return InfoNCE written as its formula (arXiv 2401.00368, equation 1)."""
    left = queries / queries.norm(dim=-1, keepdim=True)
    right = documents / documents.norm(dim=-1, keepdim=True)
    scores = left @ right.T / temperature
    own = scores.diagonal()
    loss = (scores.logsumexp(dim=1) - own).mean()
    if symmetric:
        square = scores[:, : len(queries)]
        loss = (loss + (square.logsumexp(dim=0) - own).mean()) / 2
    return loss


def probe_gradient_cache(
    parameters: Mapping[str, nn.Parameter],
    *,
    direct: Backward,
    cached: Backward,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Check that gradient caching gives the loss and gradients of one direct pass, dropout on.

    Args:
        parameters: What is trained, by name; their gradients are empty afterwards.
        direct: One graph over all texts.
        cached: The same texts and the same dropout, in at least two sub-batches by gradient caching.
        dtype: What the network computes in, which decides how much is rounding.

    Raises:
        ProbeError: When they differ by more than rounding.
    """
    copied = _some(parameters)
    losses, gradients = [], []
    for run in (direct, cached):
        _clear(parameters)
        losses.append(run())
        gradients.append(
            {
                name: torch.zeros_like(value) if value.grad is None else value.grad.detach().clone()
                for name, value in copied.items()
            }
        )
    _clear(parameters)
    tolerance = _gradient_tolerance(dtype)
    if not abs(losses[0] - losses[1]) <= tolerance * (1 + abs(losses[0])):
        raise ProbeError(
            f"gradient caching changes the loss: {losses[1]:.6g} instead of {losses[0]:.6g}",
            cure="A sub-batch must meet the dropout, the order and the masks of the whole batch.",
        )
    largest = max((value.abs().max().item() for value in gradients[0].values()), default=0.0)
    if largest == 0.0:
        raise ProbeError(
            "the loss of the probe texts gives no weight a gradient",
            cure="Some weights must require a gradient, and the loss must reach them.",
        )
    for name, wanted in gradients[0].items():
        scale = max(wanted.abs().max().item(), 1e-3 * largest)
        difference = (gradients[1][name] - wanted).abs().max().item()
        if not difference <= tolerance * scale:
            raise ProbeError(
                f"gradient caching changes the gradient of {name} by {difference:.2g} (largest element "
                f"{scale:.2g})",
                cure="The second pass must repeat the first one's dropout, and lose no sub-batch.",
            )


def probe_prompts(
    tokenise: Callable[[Sequence[str], Sequence[str]], tuple[Rows, Rows]],
    tokenizer: AnchorTokenizer,
    prompts: PromptConfig,
    *,
    query_length: int,
    document_length: int,
    texts: Sequence[str],
) -> None:
    """Check that a stage puts the declared prompts before texts, and the right one on either side.

    Args:
        tokenise: The stage's own: queries and documents in, their token ids out.
        tokenizer: The model's.
        prompts: As the study declares them.
        query_length: Tokens of a query.
        document_length: Tokens of a document.
        texts: What to try it on, as queries and as documents.

    Raises:
        ProbeError: Naming the side whose tokens are others.
    """
    seen = dict(zip(("query", "document"), tokenise(texts, texts), strict=True))
    sides = (
        ("query", prompts.query_prefix(), query_length),
        ("document", prompts.document, document_length),
    )
    for side, prefix, length in sides:
        wanted = tokenizer.tokenise([prefix + text for text in texts], length)
        for row, right in zip(seen[side], wanted, strict=True):
            if list(row) != right:
                raise ProbeError(
                    f"a {side} goes into training as {tokenizer.tokenizer.decode(row)!r}, "
                    f"and should as {tokenizer.tokenizer.decode(right)!r}",
                    cure=f"The declared prompt of this side is {prefix!r}; prompts are swapped or lost.",
                )


def probe_gradients(factors: Mapping[str, nn.Parameter], *, is_first_step: bool) -> None:
    """Check that every adapter factor has a finite gradient that is not zero.

    In the very first step the second factors are zero, so the first ones have no gradient yet.
    """
    for name, factor in factors.items():
        if factor.grad is None:
            raise ProbeError(
                f"adapter factor {name} gets no gradient: it is not part of the loss",
                cure="With gradient checkpointing, the input embeddings must require a gradient.",
            )
        if not bool(torch.isfinite(factor.grad).all()):
            raise ProbeError(f"adapter factor {name} has a gradient that is not finite")
        may_be_zero = is_first_step and not is_second_factor(name)
        if not may_be_zero and not bool(factor.grad.any()):
            raise ProbeError(
                f"adapter factor {name} has a gradient of zero: it does not learn",
                cure="The loss does not reach it, or is zero (a batch of one without negatives is).",
            )


def probe_moved(factors: Mapping[str, nn.Parameter]) -> None:
    """Check after the first optimiser step that every second factor has left zero and is finite."""
    for name, factor in factors.items():
        if not bool(torch.isfinite(factor).all()):
            raise ProbeError(
                f"adapter factor {name} is not finite after a step", cure="Lower the learning rate."
            )
        if is_second_factor(name) and not bool(factor.any()):
            raise ProbeError(
                f"adapter factor {name} is still zero after a step: it is not among what is optimised",
                cure="Every adapter factor must be handed to the optimiser, with a rate above zero.",
            )


def _some(parameters: Mapping[str, nn.Parameter]) -> dict[str, nn.Parameter]:
    """Return as many parameters as may be copied, small ones first."""
    chosen: dict[str, nn.Parameter] = {}
    total = 0
    for name, value in sorted(parameters.items(), key=lambda item: (item[1].numel(), item[0])):
        total += value.numel()
        if chosen and total > _MOST_COPIED:
            break
        chosen[name] = value
    return chosen


def _clear(parameters: Mapping[str, nn.Parameter]) -> None:
    for value in parameters.values():
        value.grad = None


def _gradient_tolerance(dtype: torch.dtype) -> float:
    return _GRADIENT_TOLERANCE.get(dtype, _SIXTEEN_BITS_TOLERANCE)
