"""Recomputing activations: the same numbers from less memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from harness.errors import HarnessError
from harness.models.dropout import use_text_dropout
from harness.models.forward import embed_rows
from harness.models.lora import add_lora, lora_parameters
from harness.models.network import load_network
from harness.models.recomputation import recompute_layers
from harness.study.recipe import TuningConfig
from harness.training.memory import activation_bytes

_TUNING = TuningConfig(method="lora", rank=4, alpha=8, dropout=0.3)
# Lengths that need a mask, and positions, of their own: two buckets.
_ROWS = [[5, 9, 4, 7], [3] * 20, [8, 2], list(range(40, 59))]


def _gradients(base: Path, *, is_recomputed: bool, method: str) -> tuple[float, dict[str, torch.Tensor]]:
    network = load_network(base, device="cpu")
    decoder = network.decoder
    if method == "lora":
        add_lora(decoder, _TUNING, seed=0)
        for factor in lora_parameters(decoder).values():
            # The second factors start at zero, which would leave the first without gradients.
            factor.data += 0.1
    use_text_dropout(decoder)
    if is_recomputed:
        recompute_layers(decoder)
    decoder.train()
    vectors = embed_rows(decoder, _ROWS, "last", text_keys=[11, 12, 13, 14])
    loss = nn.functional.normalize(vectors, dim=-1)[:, 0].sum()
    loss.backward()
    return loss.item(), {
        name: value.grad for name, value in decoder.named_parameters() if value.grad is not None
    }


@pytest.mark.parametrize("method", ["lora", "full"])
def test_loss_and_gradients_are_those_of_kept_activations(tiny_base: Path, method: str) -> None:
    loss, gradients = _gradients(tiny_base, is_recomputed=False, method=method)
    again, recomputed = _gradients(tiny_base, is_recomputed=True, method=method)
    assert again == loss
    assert recomputed.keys() == gradients.keys()
    for name, value in gradients.items():
        assert value.abs().max() > 0, name
        assert recomputed[name].equal(value), name


def test_every_factor_gets_a_gradient_below_frozen_embeddings(tiny_base: Path) -> None:
    _, gradients = _gradients(tiny_base, is_recomputed=True, method="lora")
    network = load_network(tiny_base, device="cpu")
    add_lora(network.decoder, _TUNING, seed=0)
    assert set(gradients) == set(lora_parameters(network.decoder))


def test_less_is_kept_for_the_backward_pass(tiny_base: Path) -> None:
    network = load_network(tiny_base, device="cpu")
    kept = activation_bytes(network.decoder)
    recompute_layers(network.decoder)
    fewer = activation_bytes(network.decoder)
    layers, width = network.decoder.config.num_hidden_layers, network.dimension
    # The input of each layer is still there.
    assert 4 * layers * width <= fewer < kept / 3


def test_a_network_that_cannot_is_told_by_name() -> None:
    with pytest.raises(HarnessError, match="Linear cannot compute its activations again"):
        recompute_layers(nn.Linear(2, 2))
