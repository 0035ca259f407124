"""Probes of losses and gradients: what trains passes, planted faults are caught and named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from harness.errors import ProbeError
from harness.models.dropout import use_text_dropout
from harness.models.forward import embed_rows
from harness.models.lora import add_lora, lora_parameters
from harness.models.network import Network, load_network
from harness.study.document import Resources
from harness.study.recipe import ContrastiveConfig, PromptConfig, TuningConfig
from harness.training import examination, probes
from harness.training.examination import check_prompts, contrastive_probes
from harness.training.infonce import info_nce
from harness.training.job import TrainingJob
from harness.training.train import train
from tests.training import wrong_losses

_CONFIG = ContrastiveConfig(
    steps=2,
    global_batch=4,
    num_negatives=1,
    warmup_steps=1,
    query_length=12,
    document_length=20,
    tuning=TuningConfig(rank=4, dropout=0.2),
)


@pytest.fixture
def network(tiny_base: Path) -> Network:
    """The tiny model as it is trained: adapters on, dropout on."""
    network = load_network(tiny_base, device="cpu")
    network.whole.requires_grad_(requires_grad=False)
    adapted = add_lora(network.decoder, _CONFIG.tuning, seed=0)
    use_text_dropout(network.whole)
    network.whole.train()
    return replace(network, adapted=adapted)


def _vectors(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    queries, documents = (
        torch.randn(4, 16, generator=generator),
        torch.randn(12, 16, generator=generator),
    )
    # Positives and hard negatives of the right query resemble it, as in training.
    documents += 2 * queries.repeat(3, 1)
    return queries.to(dtype), documents.to(dtype)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_projects_loss_passes(dtype: torch.dtype, symmetric: bool) -> None:
    probes.probe_contrastive_loss(
        lambda queries, documents: wrong_losses.right(queries, documents, symmetric=symmetric),
        *_vectors(dtype),
        temperature=0.02,
        symmetric=symmetric,
    )


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (wrong_losses.shuffled, "own positive as its label"),
        (wrong_losses.interleaved, "own positive as its label"),
        (wrong_losses.negatives_first, "own positive as its label"),
        (wrong_losses.bfloat16, "own positive as its label"),
        (wrong_losses.bfloat16_throughout, "computed in torch.bfloat16"),
        (wrong_losses.dot_products, "own positive as its label"),
        (wrong_losses.another_temperature, "own positive as its label"),
        (wrong_losses.without_documents_gradient, "gradient at the documents' vectors"),
        (wrong_losses.not_finite, "is nan"),
    ],
)
def test_a_wrong_loss_is_caught(fault: probes.Loss, said: str) -> None:
    with pytest.raises(ProbeError, match=said):
        probes.probe_contrastive_loss(fault, *_vectors(), temperature=0.02)


def test_the_real_functions_pass_and_leave_nothing_behind(network: Network) -> None:
    factors = lora_parameters(network.decoder)
    before = {name: value.detach().clone() for name, value in factors.items()}
    state = torch.get_rng_state()
    for probe in contrastive_probes(network, factors, _CONFIG).values():
        probe()
    assert torch.get_rng_state().equal(state)
    assert all(value.grad is None for value in factors.values())
    assert all(value.equal(before[name]) for name, value in factors.items())


def _passes(weight: nn.Parameter) -> Callable[[float], float]:
    def run(factor: float) -> float:
        loss = (weight * factor).sum()
        loss.backward()
        return loss.item()

    return run


def test_a_cache_that_loses_a_part_is_caught() -> None:
    weight = nn.Parameter(torch.ones(3))
    run = _passes(weight)
    probes.probe_gradient_cache({"w": weight}, direct=lambda: run(1), cached=lambda: run(1))
    assert weight.grad is None
    with pytest.raises(ProbeError, match="gradient caching changes the loss: 6 instead of 3"):
        probes.probe_gradient_cache({"w": weight}, direct=lambda: run(1), cached=lambda: run(2))
    with pytest.raises(ProbeError, match="gradient caching changes the gradient of w by 1"):
        probes.probe_gradient_cache({"w": weight}, direct=lambda: run(1), cached=lambda: run(2) / 2)
    with pytest.raises(ProbeError, match="gives no weight a gradient"):
        probes.probe_gradient_cache({"w": weight}, direct=lambda: 1.0, cached=lambda: 1.0)


def test_dropout_that_is_drawn_anew_in_the_second_pass_is_caught(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = iter(range(10**6))

    def anew(decoder: Any, rows: Any, pooling: Any, *, text_keys: Any, **more: Any) -> torch.Tensor:
        keys = [key + next(drawn) for key in text_keys]
        vectors: torch.Tensor = embed_rows(decoder, rows, pooling, text_keys=keys, **more)
        return vectors

    for name, factor in lora_parameters(network.decoder).items():
        if ".lora_B." in name:
            nn.init.normal_(factor, std=0.1)
    monkeypatch.setattr("harness.training.gradient_cache.embed_rows", anew)
    run = contrastive_probes(network, lora_parameters(network.decoder), _CONFIG)
    with pytest.raises(ProbeError, match="gradient caching changes the"):
        run["gradient cache equals one pass"]()


_PROMPTS = PromptConfig(query="find it", document="text: ", format="instruct")


def _tokenise_with(network: Network, prompts: PromptConfig) -> Any:
    tokenise = network.tokenizer.tokenise

    def rows(pairs: Sequence[Any], documents: Sequence[str]) -> list[list[int]]:
        queries = [prompts.query_prefix() + pair.query for pair in pairs]
        return [*tokenise(queries, 12), *tokenise([prompts.document + text for text in documents], 20)]

    return rows


def test_declared_prompts_pass(network: Network) -> None:
    check_prompts(_tokenise_with(network, _PROMPTS), replace(network, prompts=_PROMPTS), _CONFIG)


@pytest.mark.parametrize(
    ("used", "side"),
    [
        (PromptConfig(query="text: ", document="find it"), "query"),
        (PromptConfig(query="find it", format="instruct"), "document"),
        (PromptConfig(query="find it", document="text: "), "query"),
        (PromptConfig(), "query"),
    ],
)
def test_other_prompts_are_caught(used: PromptConfig, side: str, network: Network) -> None:
    with pytest.raises(ProbeError, match=f"a {side} goes into training as"):
        check_prompts(_tokenise_with(network, used), replace(network, prompts=_PROMPTS), _CONFIG)


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


def test_a_second_factor_that_stays_zero_is_caught(network: Network) -> None:
    factors = lora_parameters(network.decoder)
    with pytest.raises(ProbeError, match="is still zero after a step"):
        probes.probe_moved(factors)
    for factor in factors.values():
        nn.init.ones_(factor)
    probes.probe_moved(factors)
    nn.init.constant_(next(iter(factors.values())), float("inf"))
    with pytest.raises(ProbeError, match="is not finite after a step"):
        probes.probe_moved(factors)


def _train(base: Path, pairs: Path, folder: Path) -> None:
    job = TrainingJob(
        base=base,
        pairs=pairs,
        config=_CONFIG,
        prompts=_PROMPTS,
        seed=1,
        output=folder / "output",
        scratch=folder / "scratch",
    )
    train(job, Resources(), device="cpu", report=lambda line: None)


def _shuffle_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    def shuffled(queries: torch.Tensor, documents: torch.Tensor, **more: Any) -> Any:
        return info_nce(queries.roll(1, 0), documents, **more)

    monkeypatch.setattr(examination, "info_nce", shuffled)


def _keep_a_factor_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.training import stage

    def frozen(network: Network, objective: Any) -> dict[str, nn.Parameter]:
        found = lora_parameters(network.decoder)
        return {name: value for name, value in found.items() if "layers.0.self_attn.q" not in name}

    monkeypatch.setattr(stage, "_trained", frozen)


def _see_later_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.models.attention.is_causal_layer", lambda module: False)


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (_shuffle_labels, "own positive as its label"),
        (_keep_a_factor_out, "is still zero after a step"),
        (_see_later_tokens, "not causal|padding moves"),
    ],
)
def test_nothing_is_written_by_a_training_with_a_fault(
    plant: Callable[[pytest.MonkeyPatch], None],
    said: str,
    tiny_base: Path,
    pairs_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant(monkeypatch)
    with pytest.raises(ProbeError, match=said):
        _train(tiny_base, pairs_file, tmp_path)
    assert not (tmp_path / "output").exists()
