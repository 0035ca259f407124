"""Probes: right models pass, planted faults are caught and named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers.processors import ByteLevel
from torch import nn

from harness.errors import DataError, ProbeError
from harness.models import probes
from harness.models.lora import add_lora, lora_parameters
from harness.models.network import Network, load_network
from harness.models.packing import Layout, make_layout
from harness.study.recipe import TuningConfig


@pytest.fixture
def network(tiny_base: Path) -> Network:
    return load_network(tiny_base, device="cpu")


def test_a_sound_model_passes(network: Network) -> None:
    probes.run_probes(network)


@pytest.mark.parametrize("pooling", ["mean", "weighted_mean"])
def test_every_pooling_passes_the_padding_probe(pooling: Any, network: Network) -> None:
    probes.probe_padding(replace(network, config=replace(network.config, pooling=pooling)))


def test_a_dropped_anchor_is_caught(network: Network) -> None:
    network.tokenizer.tokenizer.backend_tokenizer.post_processor = ByteLevel()
    with pytest.raises(ProbeError, match="leaves out the anchor"):
        probes.run_probes(network)


def test_leading_tokens_that_come_and_go_are_caught(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenise = network.tokenizer.tokenise
    network.tokenizer.num_leading = 1

    def sometimes(texts: Sequence[str], max_length: int) -> list[list[int]]:
        return [
            [number % 2, *row][-max_length:] for number, row in enumerate(tokenise(texts, max_length))
        ]

    monkeypatch.setattr(network.tokenizer, "tokenise", sometimes)
    with pytest.raises(ProbeError, match="not every row of token ids begins with"):
        probes.probe_anchor(network)


def _forward_with(network: Network, monkeypatch: pytest.MonkeyPatch, **forced: Any) -> None:
    """Make the network's forward pass ignore what it is given for some arguments."""
    forward = network.decoder.forward
    monkeypatch.setattr(
        network.decoder, "forward", lambda **arguments: forward(**{**arguments, **forced})
    )


@pytest.mark.parametrize(("declared", "done"), [(True, False), (False, True)])
def test_attention_that_is_not_as_declared_is_caught(
    declared: bool, done: bool, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.decoder.config.is_causal = declared
    probes.probe_attention(network)
    _forward_with(network, monkeypatch, is_causal=done)
    with pytest.raises(ProbeError, match="not causal" if declared else "declared bidirectional"):
        probes.probe_attention(network)


def test_attention_that_is_wrong_without_a_mask_alone_is_caught(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.decoder.config.is_causal = False
    forward = network.decoder.forward

    def causal_if_alone(**arguments: Any) -> Any:
        return forward(**arguments, is_causal="attention_mask" not in arguments)

    monkeypatch.setattr(network.decoder, "forward", causal_if_alone)
    with pytest.raises(ProbeError, match="but without a mask no token sees the one after it"):
        probes.probe_attention(network)


def test_attention_that_is_cut_off_is_caught(network: Network) -> None:
    for layer in network.decoder.layers:
        nn.init.zeros_(layer.self_attn.o_proj.weight)
    with pytest.raises(ProbeError, match="cut off"):
        probes.probe_attention(network)


def test_a_wrongly_pooled_position_is_caught(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    def last_of_all(hidden: torch.Tensor, layout: Layout, method: str) -> torch.Tensor:
        return hidden[-1].expand(len(layout.lengths), -1)

    monkeypatch.setattr("harness.models.forward.pool", last_of_all)
    with pytest.raises(ProbeError, match="padding moves an embedding: in a batch it differs"):
        probes.probe_padding(network)


def test_packed_texts_that_see_each_other_are_caught(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_text(lengths: Sequence[int], **more: Any) -> Layout:
        layout = make_layout(lengths, **more)
        return replace(layout, buckets=make_layout([sum(lengths)], **more).buckets)

    monkeypatch.setattr("harness.models.forward.make_layout", one_text)
    with pytest.raises(ProbeError, match="padding moves an embedding: in a batch it differs"):
        probes.probe_padding(network)


def test_a_mask_that_is_ignored_is_caught(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = network.decoder.forward

    def without_mask(**arguments: Any) -> Any:
        is_padded = "attention_mask" in arguments and "position_ids" in arguments
        dropped = {"attention_mask": None, "position_ids": None} if is_padded else {}
        return forward(**{**arguments, **dropped})

    monkeypatch.setattr(network.decoder, "forward", without_mask)
    with pytest.raises(ProbeError, match="padded on the left with a mask"):
        probes.probe_padding(network)


def test_an_adapter_that_was_not_applied_is_caught(network: Network) -> None:
    add_lora(network.decoder, TuningConfig(rank=2), seed=0)
    for name, factor in lora_parameters(network.decoder).items():
        if ".lora_B." in name:
            nn.init.normal_(factor, std=0.1)
    with pytest.raises(ProbeError, match="not what was saved"):
        probes.probe_stored(network)


def test_other_probe_texts_are_caught(network: Network) -> None:
    assert network.manifest is not None
    other = replace(network.manifest, probe_texts=("something else",))
    with pytest.raises(ProbeError, match="other probe texts"):
        probes.probe_stored(replace(network, manifest=other))


def test_a_target_that_is_no_layer_is_refused(network: Network) -> None:
    with pytest.raises(DataError, match=r"'q_prj' is no linear layer .* Did you mean 'q_proj'"):
        add_lora(network.decoder, TuningConfig(targets=("q_prj",)), seed=0)


def test_adapters_depend_on_their_seed_alone(tiny_base: Path) -> None:
    drawn = []
    for seed, before in ((1, 0), (1, 7), (2, 0)):
        decoder = load_network(tiny_base, device="cpu").decoder
        torch.manual_seed(before)
        add_lora(decoder, TuningConfig(rank=2), seed=seed)
        assert torch.initial_seed() == before
        drawn.append(torch.cat([value.flatten() for value in lora_parameters(decoder).values()]))
    assert drawn[0].equal(drawn[1])
    assert not drawn[0].equal(drawn[2])
