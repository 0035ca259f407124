"""Probes: right models pass, planted faults are caught and named."""

from __future__ import annotations

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
from harness.study.recipe import TuningConfig


@pytest.fixture
def network(tiny_base: Path) -> Network:
    return load_network(tiny_base, device="cpu")


def test_a_sound_model_passes(network: Network) -> None:
    probes.run_probes(network)


def test_mean_pooling_passes_the_padding_probe(network: Network) -> None:
    probes.probe_padding(replace(network, config=replace(network.config, pooling="mean")))


def test_a_dropped_anchor_is_caught(network: Network) -> None:
    network.tokenizer.tokenizer.backend_tokenizer.post_processor = ByteLevel()
    with pytest.raises(ProbeError, match="leaves out the anchor"):
        probes.run_probes(network)


def test_a_bidirectional_mask_is_caught(network: Network) -> None:
    network.decoder.config.is_causal = False
    with pytest.raises(ProbeError, match="not causal"):
        probes.probe_causality(network)


def test_attention_that_is_cut_off_is_caught(network: Network) -> None:
    for layer in network.decoder.layers:
        nn.init.zeros_(layer.self_attn.o_proj.weight)
    with pytest.raises(ProbeError, match="cut off"):
        probes.probe_causality(network)


def test_a_wrongly_pooled_position_is_caught(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    def last_column(hidden: torch.Tensor, *_: Any) -> torch.Tensor:
        return hidden[:, -1]

    monkeypatch.setattr("harness.models.forward.pool", last_column)
    with pytest.raises(ProbeError, match="padding moves an embedding: in a batch padded on the right"):
        probes.probe_padding(network)


def test_a_mask_that_is_ignored_is_caught(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = network.decoder.forward

    def without_mask(**arguments: Any) -> Any:
        return forward(**{**arguments, "attention_mask": None, "position_ids": None})

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


def _factors() -> dict[str, nn.Parameter]:
    names = ("layer.lora_A.default.weight", "layer.lora_B.default.weight")
    factors = {name: nn.Parameter(torch.ones(2, 2)) for name in names}
    for factor in factors.values():
        factor.grad = torch.ones(2, 2)
    return factors


def test_gradients_that_reach_every_factor_pass() -> None:
    probes.probe_gradients(_factors(), is_first_step=False)


def test_a_first_factor_without_gradient_is_right_in_the_first_step_only() -> None:
    factors = _factors()
    factors["layer.lora_A.default.weight"].grad = torch.zeros(2, 2)
    probes.probe_gradients(factors, is_first_step=True)
    with pytest.raises(ProbeError, match=r"lora_A.* gradient of zero"):
        probes.probe_gradients(factors, is_first_step=False)


@pytest.mark.parametrize(
    ("gradient", "message"),
    [
        (None, "gets no gradient"),
        (torch.full((2, 2), float("nan")), "not finite"),
        (torch.zeros(2, 2), "gradient of zero"),
    ],
)
def test_a_second_factor_that_does_not_learn_is_caught(
    gradient: torch.Tensor | None, message: str
) -> None:
    factors = _factors()
    factors["layer.lora_B.default.weight"].grad = gradient
    with pytest.raises(ProbeError, match=message):
        probes.probe_gradients(factors, is_first_step=True)


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
