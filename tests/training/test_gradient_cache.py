"""One graph and gradient caching give the same loss and gradients, dropout included."""

from __future__ import annotations

import pytest
import torch

from harness.models.lora import add_lora
from harness.models.network import Network
from harness.study.recipe import TuningConfig
from harness.training.gradient_cache import backward_through
from harness.training.infonce import info_nce


def _loss_of(vectors: torch.Tensor) -> torch.Tensor:
    half = len(vectors) // 2
    nothing = torch.zeros(half, half, dtype=torch.bool)
    return info_nce(vectors[:half], vectors[half:], is_masked=nothing, temperature=0.1)[0]


def _run(
    network: Network, rows: list[list[int]], graph_slots: int
) -> tuple[float, dict[str, torch.Tensor]]:
    network.decoder.zero_grad(set_to_none=True)
    loss = backward_through(
        network.decoder,
        rows,
        _loss_of,
        pooling="last",
        seed=("test", 1),
        slots=40,
        graph_slots=graph_slots,
    )
    gradients = {
        name: value.grad.clone()
        for name, value in network.decoder.named_parameters()
        if value.grad is not None
    }
    return loss, gradients


@pytest.mark.parametrize("method", ["full", "lora"])
def test_caching_equals_one_graph(network64: Network, method: str) -> None:
    if method == "lora":
        add_lora(network64.decoder, TuningConfig(rank=2, dropout=0.3), seed=0)
        for name, value in network64.decoder.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(value, std=0.1)
        network64.decoder.double()
    network64.decoder.train()
    rows = network64.tokenizer.tokenise(["word " * n for n in (3, 9, 1, 14, 5, 2, 7, 4)], 64)
    loss, gradients = _run(network64, rows, graph_slots=10**6)
    cached_loss, cached = _run(network64, rows, graph_slots=1)
    assert cached_loss == pytest.approx(loss, rel=1e-12)
    assert set(cached) == set(gradients)
    assert gradients
    for name, gradient in gradients.items():
        torch.testing.assert_close(cached[name], gradient, rtol=1e-8, atol=1e-11, msg=name)


def test_the_gradient_is_that_of_single_rows_through_the_plain_loss(network64: Network) -> None:
    rows = network64.tokenizer.tokenise(["word " * n for n in (3, 9, 1, 14)], 64)
    states = [network64.decoder(input_ids=torch.tensor([row])).last_hidden_state[0, -1] for row in rows]
    expected = _loss_of(torch.stack(states))
    expected.backward()
    wanted = network64.decoder.layers[0].mlp.up_proj.weight.grad.clone()
    loss, gradients = _run(network64, rows, graph_slots=10**6)
    assert loss == pytest.approx(expected.item(), rel=1e-7)
    torch.testing.assert_close(gradients["layers.0.mlp.up_proj.weight"], wanted, rtol=1e-5, atol=1e-8)
