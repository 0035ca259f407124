"""Dropout that is a function of the text."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from harness.models.dropout import TextDropout, keep_mask, use_text_dropout
from harness.models.packing import make_layout, using_layout

_CPU = torch.device("cpu")


def _mask(num_tokens: int, width: int, p: float) -> torch.Tensor:
    keys = make_layout([num_tokens], device=_CPU, text_keys=[3]).dropout_keys
    assert keys is not None
    generator = torch.Generator().manual_seed(1)
    columns = torch.randint(-(2**31), 2**31 - 1, ((width + 1) // 2,), generator=generator)
    return keep_mask(keys, columns.to(torch.int32), p, width)


@pytest.mark.parametrize("p", [0.05, 0.1, 0.5])
def test_elements_are_dropped_at_the_rate_asked_for_and_independently(p: float) -> None:
    kept = _mask(2000, 501, p).double()
    assert kept.shape == (2000, 501)
    # Five standard errors of a million independent draws.
    assert kept.mean().item() == pytest.approx(1 - p, abs=5 * (p * (1 - p) / kept.numel()) ** 0.5)
    centred = (kept - kept.mean()) / kept.std()
    for side in (centred, centred.T):
        correlation = side.T @ side / len(side)
        correlation.fill_diagonal_(0.0)
        # Of uncorrelated columns, the mean square correlation is one over their length.
        assert correlation.pow(2).mean().item() == pytest.approx(1 / len(side), rel=0.05)


def _dropped(lengths: list[int], keys: list[int], values: torch.Tensor) -> torch.Tensor:
    layer = TextDropout(0.3, layer=2).train()
    with using_layout(make_layout(lengths, device=_CPU, text_keys=keys)):
        result: torch.Tensor = layer(values)
    return result


def test_a_text_meets_the_same_dropout_in_any_company() -> None:
    values = torch.ones(9, 16)
    first = _dropped([4, 5], [70, 71], values)
    other = _dropped([5, 4], [71, 70], values)
    torch.testing.assert_close(first[:4], other[5:])
    torch.testing.assert_close(first[4:], other[:5])
    assert not torch.equal(first, _dropped([4, 5], [72, 73], values))


def test_the_gradient_passes_where_the_value_did() -> None:
    values = torch.ones(9, 16, dtype=torch.float64, requires_grad=True)
    dropped = _dropped([4, 5], [70, 71], values)
    dropped.sum().backward()
    torch.testing.assert_close(values.grad, dropped.detach())
    assert set(dropped.detach().unique().tolist()) == {0.0, 65536 / (65536 - round(0.3 * 65536))}


def test_layers_drop_different_elements_and_evaluation_drops_none() -> None:
    model = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 4)))
    use_text_dropout(model)
    first, second = (layer for layer in model.modules() if isinstance(layer, TextDropout))
    values = torch.ones(8, 64)
    with using_layout(make_layout([8], device=_CPU, text_keys=[0])):
        assert not torch.equal(first(values), second(values))
        assert torch.equal(first.eval()(values), values)
