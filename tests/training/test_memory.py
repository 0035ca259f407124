"""The size of sub-batches."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from harness.errors import HarnessError
from harness.models.network import load_network
from harness.training.memory import MicroBatch, activation_bytes, plan_micro_batch, retry_smaller


def test_activations_are_counted_by_what_autograd_saves(tiny_base: Path) -> None:
    network = load_network(tiny_base, device="cpu")
    whole = activation_bytes(network.decoder)
    config = network.decoder.config
    # More than the inputs of the linear layers of every block, and of the order of them.
    linear = config.num_hidden_layers * 4 * (4 * config.hidden_size + 2 * config.intermediate_size)
    assert linear < whole < 12 * linear
    network.decoder.requires_grad_(requires_grad=False)
    network.decoder.layers[-1].mlp.down_proj.weight.requires_grad_()
    assert 0 < activation_bytes(network.decoder) < whole / 2
    assert network.decoder.training is False


def test_the_plan_follows_the_memory_and_the_users_word(tiny_base: Path) -> None:
    decoder = load_network(tiny_base, device="cpu").decoder
    little = plan_micro_batch(decoder, memory_gib=0.001)
    much = plan_micro_batch(decoder, memory_gib=1.0)
    assert little.graph_tokens < much.graph_tokens
    assert little.tokens <= little.graph_tokens
    assert much.graph_tokens == pytest.approx(1000 * little.graph_tokens, rel=0.01)
    assert plan_micro_batch(decoder, tokens=100, memory_gib=1.0) == MicroBatch(
        tokens=100, graph_tokens=much.graph_tokens
    )


def test_a_step_that_runs_out_of_memory_is_run_again_with_smaller_sub_batches() -> None:
    micro_batch = MicroBatch(tokens=1024, graph_tokens=4096)
    tried: list[tuple[int, int]] = []
    said: list[str] = []

    def run() -> str:
        tried.append((micro_batch.tokens, micro_batch.graph_tokens))
        if micro_batch.tokens > 256:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return "done"

    assert retry_smaller(run, micro_batch, report=said.append) == "done"
    assert tried == [(1024, 4096), (512, 512), (256, 256)]
    assert "256 tokens" in said[-1]


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    def run() -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        retry_smaller(run, MicroBatch(tokens=1024, graph_tokens=4096), report=print)


def test_memory_that_never_suffices_ends_in_an_error_that_names_the_cure() -> None:
    def run() -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")

    with pytest.raises(HarnessError, match="gradient_checkpointing"):
        retry_smaller(run, MicroBatch(tokens=1024, graph_tokens=4096), report=lambda line: None)
