"""The fused pass against transformers' own in float64, and what keeps a network from it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partialmethod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel

from harness.models import attention, inference
from harness.models.embedder import Embedder
from harness.models.fused_decoder import FusedDecoder
from harness.models.fused_trial import fuse, may_share
from harness.models.packing import make_layout
from harness.models.pooling import Pooling, pool
from tests.models.tiny import DECODERS

_FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama with biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama, rotations scaled": (
        "llama",
        {"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4}},
    ),
    "bidirectional": ("llama", {"is_causal": False}),
    "mistral": ("mistral", {}),
    "mistral with a window": ("mistral-window", {}),
    "qwen2": ("qwen2", {}),
    "qwen2, a window in one layer": (
        "qwen2",
        {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
    ),
    "qwen3": ("qwen3", {}),
}
_LENGTHS = (3, 7, 7, 20, 21, 1, 40, 40, 61)
_MAX_LENGTH = 300


def _decoder(family: str, **settings: Any) -> Any:
    """Return a network with random weights, norms and biases, as the project loads it."""
    attention.register()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModel.from_config(DECODERS[family](**settings), attn_implementation=attention.NAME)
        for name, value in model.named_parameters():
            if name.endswith(("norm.weight", "bias")):
                value.data.uniform_(0.5, 1.5)
    return model.eval()


def _rows() -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(3, 512, (length,), generator=generator).tolist() for length in _LENGTHS]


def _reference(decoder: Any, rows: list[list[int]], pooling: Pooling) -> torch.Tensor:
    """Return the vectors that transformers computes in float64, each text alone."""
    plain = AutoModel.from_config(copy.deepcopy(decoder.config), attn_implementation="eager")
    plain.load_state_dict(decoder.state_dict())
    plain.double().eval()
    vectors = []
    with torch.no_grad():
        for row in rows:
            states = plain(input_ids=torch.tensor([row]), use_cache=False).last_hidden_state[0]
            vectors.append(pool(states, make_layout([len(row)], device=states.device), pooling)[0])
    return torch.stack(vectors)


def _fused(decoder: Any, pooling: Pooling = "last") -> FusedDecoder:
    found = fuse(decoder, pooling, max_length=_MAX_LENGTH)
    assert found is not None
    return found


@pytest.mark.parametrize("family", list(_FAMILIES))
@pytest.mark.parametrize("pooling", ["last", "mean", "weighted_mean"])
def test_vectors_are_those_of_transformers_in_float64(family: str, pooling: Pooling) -> None:
    name, settings = _FAMILIES[family]
    decoder = _decoder(name, **settings)
    rows = _rows()
    wanted = _reference(decoder, rows, pooling)
    found = _fused(decoder, pooling).embed(rows, pooling, floor=256)
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=1e-5)


def test_many_tokens_go_through_in_chunks() -> None:
    decoder = _decoder("qwen3")
    rows = _rows() * 9
    found = _fused(decoder).embed(rows, "last")
    torch.testing.assert_close(
        found.double(), _reference(decoder, _rows(), "last").repeat(9, 1), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_neither_company_nor_order_changes_a_bit(pooling: Pooling) -> None:
    fused = _fused(_decoder("mistral-window"), pooling)
    rows = _rows()
    whole = fused.embed(rows, pooling, floor=256)
    for place, row in enumerate(rows):
        assert torch.equal(fused.embed([row], pooling, floor=256)[0], whole[place])
    assert torch.equal(fused.embed((rows * 5)[::-1], pooling, floor=256)[-len(rows) :].flip(0), whole)


@pytest.mark.parametrize("family", [name for name in _FAMILIES if name != "bidirectional"])
def test_a_shared_beginning_is_computed_once_and_changes_nothing(family: str) -> None:
    name, settings = _FAMILIES[family]
    decoder = _decoder(name, **settings)
    fused = _fused(decoder)
    ids = list(range(30, 47))
    rows = [[*ids, *row] for row in _rows()]
    beginning = fused.begin(ids, floor=256)
    found = fused.embed(rows, "last", floor=256, beginning=beginning)
    wanted = _reference(decoder, rows, "last")
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=1e-5)
    # Alone, and among so many that keys are copied in several parts.
    for place, row in enumerate(rows):
        alone = fused.embed([row], "last", floor=256, beginning=beginning)
        assert torch.equal(alone[0], found[place])
    many = fused.embed([rows[1]] * 300, "last", floor=256, beginning=beginning)
    assert torch.equal(many, found[1].expand(300, -1))


def test_only_what_keeps_its_bits_in_any_company_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    fused = _fused(_decoder("llama"))
    trial = {"floor": 256, "vocabulary": 512, "max_length": _MAX_LENGTH}
    assert not may_share(_fused(_decoder("llama", is_causal=False)), **trial)
    assert not may_share(fused, **{**trial, "max_length": 24})
    embed = FusedDecoder.embed

    def disturbed(
        self: FusedDecoder, rows: list[list[int]], *rest: Any, by: float, **more: Any
    ) -> torch.Tensor:
        found = embed(self, rows, *rest, **more)
        is_changed = more["beginning"] is not None and (by > 1e-4 or len(rows) > 5)
        return found * (1 + by * torch.arange(found.shape[1])) if is_changed else found

    for by in (1e-3, 1e-6):
        with monkeypatch.context() as patch:
            patch.setattr(FusedDecoder, "embed", partialmethod(disturbed, by=by))
            assert not may_share(fused, **trial)


def _another_activation(decoder: Any) -> None:
    class Gated(type(decoder.layers[1].mlp)):  # type: ignore[misc]
        def forward(self, states: torch.Tensor) -> torch.Tensor:
            return self.down_proj(torch.sigmoid(self.gate_proj(states)) * self.up_proj(states))

    decoder.layers[1].mlp.__class__ = Gated


def _scaled_embeddings(decoder: Any) -> None:
    decoder.embed_tokens.register_forward_hook(lambda _, __, states: states * 1.01)


def _another_scale(decoder: Any) -> None:
    decoder.layers[0].self_attn.q_proj.register_forward_hook(lambda _, __, states: states * 1.01)


def _extra_layer(decoder: Any) -> None:
    decoder.layers[0].mlp.extra_proj = torch.nn.Linear(2, 2)


def _own_linear(decoder: Any) -> None:
    class Linear(torch.nn.Linear):
        pass

    decoder.layers[0].mlp.up_proj.__class__ = Linear


@pytest.mark.parametrize(
    "change", [_another_activation, _scaled_embeddings, _another_scale, _extra_layer, _own_linear]
)
def test_a_network_that_computes_anything_else_is_refused(change: Callable[[Any], None]) -> None:
    decoder = _decoder("llama")
    change(decoder)
    assert fuse(decoder, "last", max_length=_MAX_LENGTH) is None


@pytest.mark.parametrize("family", ["gemma", "gemma2", "gemma3"])
def test_other_makes_are_refused(family: str) -> None:
    assert fuse(_decoder(family), "last", max_length=_MAX_LENGTH) is None


def test_rotations_that_follow_from_the_batch_and_other_types_are_refused() -> None:
    growing = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    assert fuse(_decoder("llama", rope_parameters=growing), "last", max_length=_MAX_LENGTH) is None
    assert fuse(_decoder("llama").bfloat16(), "last", max_length=_MAX_LENGTH) is None
    assert fuse(_decoder("llama").train(), "last", max_length=_MAX_LENGTH) is None


def test_an_embedder_says_which_pass_it_takes_and_both_agree(
    tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["river", "", "The committee will meet again on Thursday.", "word " * 90]
    fused = Embedder.load(tiny_base, device="cpu")
    vectors = fused.encode(texts)
    monkeypatch.setattr(inference, "fuse", lambda *_, **__: None)
    plain = Embedder.load(tiny_base, device="cpu")
    np.testing.assert_allclose(vectors, plain.encode(texts), atol=1e-6)
    if plain.arithmetic and fused.arithmetic:
        assert fused.arithmetic == f"{plain.arithmetic}, fused"
