"""Measures of held-out pairs: the stages' own losses, whatever memory allows, and no trace of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from harness.models.dropout import use_text_dropout
from harness.models.lora import add_lora
from harness.models.network import Network
from harness.study.recipe import ContrastiveConfig, PromptConfig, ReconstructionConfig, TuningConfig
from harness.training.contrastive import ContrastiveObjective
from harness.training.contrastive_measure import measure_vectors
from harness.training.decoding import Reconstructor, reconstruction_loss
from harness.training.false_negatives import TextHashes, mask_false_negatives
from harness.training.held_out import Division
from harness.training.infonce import info_nce
from harness.training.measures import make_selection
from harness.training.memory import MicroBatch
from harness.training.projection import make_projection
from harness.training.ranks import ONE_RANK
from harness.training.targets import tokenise_pairs
from tests.training.conftest import make_pairs

_CONTRASTIVE = ContrastiveConfig(
    steps=20, global_batch=4, num_negatives=1, temperature=0.1, query_length=12, document_length=20
)
_RECONSTRUCTION = ReconstructionConfig(steps=20, global_batch=4, query_length=12, document_length=20)
_HELD_OUT = (7, 2, 11, 4)
_WHOLE = 1 << 20


def _measure(
    network: Network,
    config: ContrastiveConfig | ReconstructionConfig,
    *,
    tokens: int = _WHOLE,
    projection: torch.nn.Module | None = None,
) -> dict[str, float]:
    selection = make_selection(
        network,
        make_pairs(),
        Division(training=(), held_out=_HELD_OUT),
        config,
        projection=projection,
        micro_batch=MicroBatch(tokens=tokens, graph_tokens=0),
        ranks=ONE_RANK,
    )
    return selection.take()


def _vectors(count: int, *, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("chunk", [None, 1, 3, 7])
def test_loss_and_accuracy_are_info_nces_in_any_number_of_chunks(
    symmetric: bool, chunk: int | None
) -> None:
    queries = ["a", "b", "c", "a", "d", "e", "f"]
    positives = ["1", "2", "3", "4", "2", "6", "7"]
    negatives = ["8", "1", "9"]
    is_masked = mask_false_negatives(queries, positives, negatives)
    assert is_masked.any()
    left, right = _vectors(7), torch.cat([_vectors(7) + 0.9 * _vectors(7, seed=1), _vectors(3, seed=2)])
    wanted = info_nce(left, right, is_masked=is_masked, temperature=0.1, symmetric=symmetric)
    found = measure_vectors(
        left,
        right,
        hashes=TextHashes.of(queries, positives, negatives),
        temperature=0.1,
        symmetric=symmetric,
        chunk=chunk,
    )
    assert found["loss"] == pytest.approx(wanted.loss.item(), rel=1e-12)
    assert 0 < found["accuracy"] < 1
    assert found["accuracy"] == pytest.approx(wanted.accuracy)
    scores = torch.cosine_similarity(left[:, None], right[None], dim=-1).masked_fill(is_masked, -2)
    ranks = [
        sorted(row, reverse=True).index(row[place]) + 1 for place, row in enumerate(scores.tolist())
    ]
    assert found["mrr"] == pytest.approx(sum(1 / rank for rank in ranks) / len(ranks))


def test_a_model_for_which_all_texts_are_alike_finds_nothing() -> None:
    texts = [f"{number}" for number in range(8)]
    found = measure_vectors(
        torch.ones(4, 3),
        torch.ones(4, 3),
        hashes=TextHashes.of(texts[:4], texts[4:], []),
        temperature=0.1,
        symmetric=False,
    )
    assert found["accuracy"] == 0.0
    assert found["mrr"] == pytest.approx(1 / 4)


@pytest.mark.parametrize("tokens", [_WHOLE, 20])
def test_stage_two_is_measured_by_its_own_loss_over_all_held_out_candidates(
    network64: Network, tokens: int
) -> None:
    network = replace(network64, prompts=PromptConfig(query="query: ", document="text: "))
    pairs = [make_pairs()[row] for row in _HELD_OUT]
    found = _measure(network, _CONTRASTIVE, tokens=tokens)
    objective = ContrastiveObjective(
        network, pairs, _CONTRASTIVE, seed=0, micro_batch=MicroBatch(tokens=_WHOLE, graph_tokens=_WHOLE)
    )
    positives, negatives = [pair.positive for pair in pairs], [pair.negatives[0] for pair in pairs]
    rows = objective.tokenise(pairs, [*positives, *negatives])
    network.whole.eval()
    with torch.no_grad():
        # Each text by itself, the plain way.
        vectors = torch.cat(
            [network.decoder(torch.tensor([row])).last_hidden_state[:, -1] for row in rows]
        )
    wanted = info_nce(
        vectors[:4], vectors[4:], is_masked=torch.zeros(4, 8, dtype=torch.bool), temperature=0.1
    )
    assert found["loss"] == pytest.approx(wanted.loss.item(), rel=1e-9)
    assert set(found) == {"loss", "accuracy", "mrr"}


@pytest.mark.parametrize("tokens", [_WHOLE, 20])
@pytest.mark.parametrize(
    "changes",
    [{}, {"alpha": 1.0}, {"alpha": 0.0}, {"anchor_position": "before_padding", "projection": "linear"}],
    ids=str,
)
def test_stage_one_is_measured_by_its_own_loss_and_by_its_gap(
    network64: Network, tokens: int, changes: dict[str, Any]
) -> None:
    config = replace(_RECONSTRUCTION, **changes)
    projection = make_projection(config.projection, network64.decoder)
    if projection is not None:
        projection.double()
    found = _measure(network64, config, tokens=tokens, projection=projection)
    pairs = [make_pairs()[row] for row in _HELD_OUT]
    batch = tokenise_pairs(network64, pairs, config)
    model = Reconstructor.of(network64, projection)
    network64.whole.eval()
    with torch.no_grad():
        wanted = reconstruction_loss(model, batch, alpha=config.alpha)
        assert found["loss"] == pytest.approx(wanted.total.item(), rel=1e-9)
        for name, part, sources, targets in (
            ("query_to_document", wanted.query_to_document, batch.queries, batch.document_targets),
            ("document_to_query", wanted.document_to_query, batch.documents, batch.query_targets),
        ):
            assert (name in found) == (part is not None) == (f"{name}_gap" in found)
            if part is not None:
                other = model.decode(model.embed(sources).roll(1, 0), targets)
                other = other / sum(len(target.ids) for target in targets)
                assert found[name] == pytest.approx(part.item(), rel=1e-9)
                assert found[f"{name}_gap"] == pytest.approx((other - part).item(), abs=1e-9)
                assert abs(found[f"{name}_gap"]) > 1e-6


@pytest.mark.parametrize(
    "config", [_CONTRASTIVE, _RECONSTRUCTION], ids=["contrastive", "reconstruction"]
)
def test_a_measure_has_no_dropout_and_leaves_no_trace(network64: Network, config: Any) -> None:
    network64.whole.requires_grad_(requires_grad=False)
    adapted = add_lora(network64.decoder, TuningConfig(dropout=0.5, rank=4), seed=0)
    network = replace(network64, adapted=adapted)
    for name, value in network.decoder.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, generator=torch.Generator().manual_seed(0))
    use_text_dropout(network.whole)
    network.whole.train()
    state = torch.get_rng_state()
    first = _measure(network, config)
    assert _measure(network, config) == first
    assert torch.get_rng_state().equal(state)
    assert network.whole.training
    assert all(value.grad is None for value in network.whole.parameters())
