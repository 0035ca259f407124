"""One graph and gradient caching give the same loss and gradients, dropout included."""

from __future__ import annotations

import pytest
import torch

from harness.models.dropout import use_text_dropout
from harness.models.lora import add_lora
from harness.models.network import Network
from harness.study.recipe import TuningConfig
from harness.training.gradient_cache import backward_through
from harness.training.infonce import info_nce
from harness.training.memory import MicroBatch


def _loss_of(vectors: torch.Tensor) -> torch.Tensor:
    half = len(vectors) // 2
    nothing = torch.zeros(half, half, dtype=torch.bool)
    return info_nce(vectors[:half], vectors[half:], is_masked=nothing, temperature=0.1).loss


def _run(
    network: Network, rows: list[list[int]], *, tokens: int = 40, graph_tokens: int = 10**6
) -> tuple[float, dict[str, torch.Tensor]]:
    network.decoder.zero_grad(set_to_none=True)
    loss = backward_through(
        network.decoder,
        rows,
        _loss_of,
        pooling="last",
        seed=("test", 1),
        micro_batch=MicroBatch(tokens=tokens, graph_tokens=graph_tokens),
    )
    gradients = {
        name: value.grad.clone()
        for name, value in network.decoder.named_parameters()
        if value.grad is not None
    }
    return loss, gradients


@pytest.mark.parametrize("method", ["full", "lora"])
def test_caching_and_any_sub_batch_equal_one_graph_with_dropout_on(
    network64: Network, method: str
) -> None:
    if method == "lora":
        add_lora(network64.decoder, TuningConfig(rank=2, dropout=0.3), seed=0)
        for name, value in network64.decoder.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(value, std=0.1)
        network64.decoder.double()
        use_text_dropout(network64.decoder)
    network64.decoder.train()
    rows = network64.tokenizer.tokenise(["word " * n for n in (3, 9, 1, 14, 5, 2, 7, 4)], 64)
    loss, gradients = _run(network64, rows)
    assert gradients
    for tokens, graph_tokens in ((40, 0), (1, 0), (17, 10**6), (10**6, 0)):
        other_loss, others = _run(network64, rows, tokens=tokens, graph_tokens=graph_tokens)
        # The norms of the network work in float32 whatever its weights are.
        assert other_loss == pytest.approx(loss, rel=1e-7)
        assert set(others) == set(gradients)
        for name, gradient in gradients.items():
            torch.testing.assert_close(others[name], gradient, rtol=1e-5, atol=1e-7, msg=name)


def test_the_gradient_is_that_of_single_rows_through_the_plain_loss(network64: Network) -> None:
    rows = network64.tokenizer.tokenise(["word " * n for n in (3, 9, 1, 14)], 64)
    states = [network64.decoder(input_ids=torch.tensor([row])).last_hidden_state[0, -1] for row in rows]
    expected = _loss_of(torch.stack(states))
    expected.backward()
    wanted = network64.decoder.layers[0].mlp.up_proj.weight.grad.clone()
    loss, gradients = _run(network64, rows)
    assert loss == pytest.approx(expected.item(), rel=1e-7)
    torch.testing.assert_close(gradients["layers.0.mlp.up_proj.weight"], wanted, rtol=1e-5, atol=1e-8)
