"""The reconstruction loss against one pair at a time through the plain language model, in float64.

Tolerances are those of the network's norms, which work in float32 whatever the weights are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional

from harness.models.network import Network
from harness.models.pooling import Pooling
from harness.study.recipe import PromptConfig, ReconstructionConfig
from harness.training.decoding import ReconstructionBatch, Reconstructor, Target, reconstruction_loss
from harness.training.memory import MicroBatch
from harness.training.projection import LinearProjection, NormProjection, make_projection
from harness.training.reconstruction import ReconstructionObjective
from harness.training.targets import tokenise_pairs
from tests.training.conftest import make_pairs

_CONFIG = ReconstructionConfig(steps=20, global_batch=4, query_length=12, document_length=20)
_PLENTY = MicroBatch(tokens=10**6, graph_tokens=10**6)
_SWITCHES: dict[str, dict[str, Any]] = {
    "the paper's": {},
    "before the padding": {"anchor_position": "before_padding"},
    "prompt as target": {"targets": "prompted"},
    "prompt hidden": {"targets": "prompted", "mask_prompt": True},
    "anchor as target": {"predict_anchor": True},
    "as the authors' code": {
        "anchor_position": "before_padding",
        "targets": "prompted",
        "mask_prompt": True,
    },
}


def _batch(network: Network, **switches: Any) -> ReconstructionBatch:
    prompted = replace(network, prompts=PromptConfig(query="find the", format="semicolon"))
    return tokenise_pairs(prompted, make_pairs()[:6], replace(_CONFIG, **switches))


def _model(network: Network, pooling: Pooling = "last") -> Reconstructor:
    return Reconstructor(
        decoder=network.decoder,
        head=network.head_weight(),
        pooling=pooling,
        padding_id=network.tokenizer.padding_id,
    )


def _decode_alone(network: Network, soft: torch.Tensor, target: Target) -> torch.Tensor:
    """Cross-entropies of one target text: every padding position is there, behind an explicit mask."""
    model = network.causal
    assert model is not None
    pad, ids = target.num_padding, list(target.ids)
    table = model.get_input_embeddings()
    words = table(torch.tensor([network.tokenizer.padding_id] * pad + ids))
    inputs = torch.cat([soft[None], words])
    size = len(inputs)
    sees = torch.ones(size, size, dtype=torch.bool).tril()
    sees[:, 1 : 1 + pad] = False
    sees[:, 1 + pad : 1 + pad + target.num_hidden] = False
    logits = model(inputs_embeds=inputs[None], attention_mask=sees[None, None]).logits[0]
    # The state at the last token would predict what is no target.
    first = pad  # The position before the first target: the embedding's, or the last of the padding.
    return functional.cross_entropy(logits[first:-1], torch.tensor(ids), reduction="none")


def _reference(network: Network, batch: ReconstructionBatch, alpha: float, pooling: Pooling) -> Any:
    """The formula as it is written: no packing, no chunks, all logits."""
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
            losses.append(_decode_alone(network, soft, target))
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


def _assert_same(network: Network, batch: ReconstructionBatch, alpha: float, pooling: Pooling) -> None:
    expected = _reference(network, batch, alpha, pooling)
    expected.backward()
    wanted = _gradients(network)
    found = reconstruction_loss(_model(network, pooling), batch, alpha=alpha).total
    found.backward()
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=0)
    gradients = _gradients(network)
    assert set(gradients) == set(wanted)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-5, atol=1e-8, msg=name)


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("alpha", [0.0, 0.2, 1.0])
def test_loss_and_gradients_equal_the_formula(
    network64: Network, alpha: float, pooling: Pooling
) -> None:
    _assert_same(network64, _batch(network64), alpha, pooling)


@pytest.mark.parametrize("switch", list(_SWITCHES))
def test_every_switch_equals_the_plain_model_with_an_explicit_mask(
    network64: Network, switch: str
) -> None:
    batch = _batch(network64, **_SWITCHES[switch])
    _assert_same(network64, batch, 0.2, "last")


def test_the_switches_change_the_targets_as_they_say(network64: Network) -> None:
    tokenizer = network64.tokenizer
    plain, prompted = _batch(network64), _batch(network64, targets="prompted", mask_prompt=True)
    ended = _batch(network64, predict_anchor=True)
    padded = _batch(network64, anchor_position="before_padding")
    prompt = tokenizer.targets(["find the; "], 99)[0]
    for bare, whole in zip(plain.query_targets, prompted.query_targets, strict=True):
        assert list(whole.ids[: len(prompt)]) == list(prompt)
        assert whole.num_hidden == len(prompt)
        assert bare.num_hidden == bare.num_padding == 0
    assert all(target.num_hidden == 0 for target in prompted.document_targets)
    for bare, longer in zip(plain.document_targets, ended.document_targets, strict=True):
        assert list(longer.ids) == [*bare.ids, tokenizer.anchor_id]
    widths = {len(target.ids) + target.num_padding for target in padded.query_targets}
    assert widths == {max(len(target.ids) for target in plain.query_targets)}


def test_a_direction_of_weight_zero_is_not_computed(network64: Network) -> None:
    batch, model = _batch(network64), _model(network64)
    only_documents = reconstruction_loss(model, batch, alpha=1.0)
    assert only_documents.document_to_query is None
    assert only_documents.query_to_document is not None
    only_queries = reconstruction_loss(model, batch, alpha=0.0)
    assert only_queries.query_to_document is None
    both = reconstruction_loss(model, batch, alpha=0.3)
    mixed = 0.3 * only_documents.total + 0.7 * only_queries.total
    torch.testing.assert_close(both.total, mixed, rtol=1e-12, atol=0)


def test_the_embedding_is_what_the_first_token_is_predicted_from(network64: Network) -> None:
    model = _model(network64)
    (vector,) = model.embed(_batch(network64).queries[:1])
    vectors = torch.stack([vector, -vector])
    targets = [Target(ids=[5]), Target(ids=[5])]
    first, both = model.decode(vectors[:1], targets[:1]), model.decode(vectors, targets)
    assert first.item() != pytest.approx(both.item() / 2, rel=1e-3)


def test_an_empty_target_adds_nothing(network64: Network) -> None:
    model = _model(network64)
    vectors = model.embed(_batch(network64).queries[:2])
    alone = model.decode(vectors[:1], [Target(ids=[5, 6])])
    padded = model.decode(vectors, [Target(ids=[5, 6]), Target(ids=[])])
    torch.testing.assert_close(padded, alone)
    assert model.decode(vectors[:1], [Target(ids=[])]).item() == 0.0


def test_projections_scale_to_the_norm_of_words_or_start_as_nothing(network64: Network) -> None:
    table = network64.decoder.get_input_embeddings().weight
    vectors = torch.randn(3, table.shape[1], dtype=table.dtype)
    scaled = NormProjection(table)(vectors)
    norm = float(table.norm(dim=-1).mean())
    torch.testing.assert_close(
        scaled.norm(dim=-1), torch.full((3,), norm, dtype=table.dtype), rtol=1e-6, atol=0
    )
    torch.testing.assert_close(
        functional.cosine_similarity(scaled, vectors), torch.ones(3, dtype=table.dtype)
    )
    linear = make_projection("linear", network64.decoder)
    assert isinstance(linear, LinearProjection)
    torch.testing.assert_close(linear(vectors), vectors, rtol=0, atol=0)
    assert make_projection("none", network64.decoder) is None


def test_a_linear_projection_gets_a_gradient(network64: Network) -> None:
    objective = ReconstructionObjective(
        network64, make_pairs(), replace(_CONFIG, projection="linear"), seed=0, micro_batch=_PLENTY
    )
    assert objective.projection is not None
    objective.backward(1)
    (weight,) = objective.projection.parameters()
    assert weight.grad is not None
    assert weight.grad.any()


def test_parts_of_a_batch_add_up_to_its_gradient(network64: Network) -> None:
    config = replace(_CONFIG, global_batch=8)
    whole = ReconstructionObjective(network64, make_pairs(), config, seed=0, micro_batch=_PLENTY)
    expected = whole.backward(3)
    wanted = _gradients(network64)
    few = MicroBatch(tokens=60, graph_tokens=60)
    parts = ReconstructionObjective(network64, make_pairs(), config, seed=0, micro_batch=few)
    found = parts.backward(3)
    assert found.loss == pytest.approx(expected.loss, rel=1e-7)
    assert found.metrics == pytest.approx(dict(expected.metrics), rel=1e-7)
    for name, gradient in _gradients(network64).items():
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-5, atol=1e-8, msg=name)


def test_the_gap_is_logged_now_and_then_and_draws_nothing(network64: Network) -> None:
    objective = ReconstructionObjective(network64, make_pairs(), _CONFIG, seed=0, micro_batch=_PLENTY)
    named = {step: set(objective.backward(step).metrics) for step in (0, 1, 10, 19)}
    gaps = {"query_to_document_gap", "document_to_query_gap"}
    assert [gaps <= named[step] for step in (0, 1, 10, 19)] == [True, False, True, True]
    assert network64.decoder.training is False
