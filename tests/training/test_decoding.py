"""The reconstruction loss against one pair at a time through the plain language model, in float64.

Tolerances are those of the network's norms, which work in float32 whatever the weights are.
"""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from harness.models.forward import embed_rows
from harness.models.network import Network
from harness.models.pooling import Pooling
from harness.study.recipe import ReconstructionConfig
from harness.training import reconstruction
from harness.training.decoding import ReconstructionBatch, decode, reconstruction_loss
from harness.training.reconstruction import ReconstructionObjective
from tests.training.conftest import make_pairs


def _batch(network: Network) -> ReconstructionBatch:
    pairs = make_pairs()[:6]
    queries, documents = [pair.query for pair in pairs], [pair.positive for pair in pairs]
    tokenizer = network.tokenizer
    return ReconstructionBatch(
        queries=tokenizer.tokenise(queries, 12),
        documents=tokenizer.tokenise(documents, 20),
        query_targets=tokenizer.targets(queries, 12),
        document_targets=tokenizer.targets(documents, 20),
    )


def _reference(
    network: Network, batch: ReconstructionBatch, alpha: float, pooling: Pooling
) -> torch.Tensor:
    """The formula as it is written: no batches, no chunks, all logits."""
    model = network.causal
    assert model is not None
    directions = []
    for sources, targets in (
        (batch.queries, batch.document_targets),
        (batch.documents, batch.query_targets),
    ):
        losses = []
        for source, target in zip(sources, targets, strict=True):
            states = model.model(input_ids=torch.tensor([source])).last_hidden_state[0]
            soft = states[-1] if pooling == "last" else states.mean(dim=0)
            words = model.get_input_embeddings()(torch.tensor([target]))[0]
            inputs = torch.cat([soft[None], words])[None]
            logits = model(inputs_embeds=inputs).logits[0]
            # The state at the last token would predict the anchor, which is no target.
            losses.append(functional.cross_entropy(logits[:-1], torch.tensor(target), reduction="none"))
        directions.append(torch.cat(losses).mean())
    return alpha * directions[0] + (1 - alpha) * directions[1]


def _gradients(network: Network) -> dict[str, torch.Tensor]:
    found = {
        name: value.grad.clone()
        for name, value in network.whole.named_parameters()
        if value.grad is not None
    }
    network.whole.zero_grad(set_to_none=True)
    return found


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("alpha", [0.0, 0.2, 1.0])
def test_loss_and_gradients_equal_the_formula(
    network64: Network, alpha: float, pooling: Pooling
) -> None:
    batch = _batch(network64)
    expected = _reference(network64, batch, alpha, pooling)
    expected.backward()
    wanted = _gradients(network64)
    head = network64.head_weight()
    for slots in (1, 40, 1000):
        found = reconstruction_loss(
            network64.decoder, head, batch, alpha=alpha, pooling=pooling, slots=slots
        ).total
        found.backward()
        torch.testing.assert_close(found, expected, rtol=1e-7, atol=0)
        gradients = _gradients(network64)
        assert set(gradients) == set(wanted)
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, wanted[name], rtol=1e-5, atol=1e-8, msg=name)


def test_a_direction_of_weight_zero_is_not_computed(network64: Network) -> None:
    batch, head = _batch(network64), network64.head_weight()
    only_documents = reconstruction_loss(network64.decoder, head, batch, alpha=1.0)
    assert only_documents.document_to_query is None
    assert only_documents.query_to_document is not None
    only_queries = reconstruction_loss(network64.decoder, head, batch, alpha=0.0)
    assert only_queries.query_to_document is None
    both = reconstruction_loss(network64.decoder, head, batch, alpha=0.3)
    mixed = 0.3 * only_documents.total + 0.7 * only_queries.total
    torch.testing.assert_close(both.total, mixed, rtol=1e-12, atol=0)


def test_the_embedding_is_what_the_first_token_is_predicted_from(network64: Network) -> None:
    vectors = embed_rows(network64.decoder, _batch(network64).queries[:2], "last")
    head, targets = network64.head_weight(), [[5], [5]]
    first = decode(network64.decoder, head, vectors[:1], targets[:1])
    both = decode(network64.decoder, head, vectors, targets)
    assert first.item() != pytest.approx(both.item() / 2, rel=1e-3)


def test_an_empty_target_adds_nothing(network64: Network) -> None:
    vectors = embed_rows(network64.decoder, _batch(network64).queries[:2], "last")
    head = network64.head_weight()
    alone = decode(network64.decoder, head, vectors[:1], [[5, 6]])
    padded = decode(network64.decoder, head, vectors, [[5, 6], []])
    torch.testing.assert_close(padded, alone)


def test_parts_of_a_batch_add_up_to_its_gradient(
    network64: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ReconstructionConfig(steps=20, global_batch=8, query_length=12, document_length=20)
    objective = ReconstructionObjective(network64, make_pairs(), config, seed=0)
    whole = objective.backward(3)
    wanted = _gradients(network64)
    monkeypatch.setattr(reconstruction, "_GRAPH_SLOTS", 60)
    parts = objective.backward(3)
    assert parts.loss == pytest.approx(whole.loss, rel=1e-7)
    assert parts.metrics == pytest.approx(dict(whole.metrics), rel=1e-7)
    for name, gradient in _gradients(network64).items():
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-5, atol=1e-8, msg=name)


def test_the_gap_is_logged_now_and_then_and_draws_nothing(network64: Network) -> None:
    config = ReconstructionConfig(steps=20, global_batch=4, query_length=12, document_length=20)
    objective = ReconstructionObjective(network64, make_pairs(), config, seed=0)
    named = {step: set(objective.backward(step).metrics) for step in (0, 1, 10, 19)}
    gaps = {"query_to_document_gap", "document_to_query_gap"}
    assert [gaps <= named[step] for step in (0, 1, 10, 19)] == [True, False, True, True]
    assert network64.decoder.training is False
