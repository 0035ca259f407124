"""Packed texts: the division into batches, and every architecture against its own plain forward pass."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from harness.models import attention, kernels
from harness.models.forward import run_packed
from harness.models.last_layer import skip_unwanted
from harness.models.packing import make_layout, token_batches, using_layout

_DECODER = {
    "vocab_size": 128,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
_ENCODER = {name: value for name, value in _DECODER.items() if name != "num_key_value_heads"}
_SPECIALS = {
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "cls_token_id": 1,
    "sep_token_id": 2,
}
_FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", _DECODER),
    "qwen2": ("Qwen2Config", _DECODER),
    "qwen3": ("Qwen3Config", {**_DECODER, "head_dim": 8}),
    "mistral": ("MistralConfig", {**_DECODER, "sliding_window": None}),
    "mistral with a window": ("MistralConfig", {**_DECODER, "sliding_window": 8}),
    "gemma": ("GemmaConfig", {**_DECODER, "head_dim": 8}),
    "gemma2": ("Gemma2Config", {**_DECODER, "head_dim": 8, "sliding_window": 8}),
    "gemma3": ("Gemma3TextConfig", {**_DECODER, "head_dim": 8, "sliding_window": 8}),
    "bert": ("BertConfig", _ENCODER),
    "xlm-roberta": ("XLMRobertaConfig", _ENCODER),
    "modernbert": ("ModernBertConfig", {**_ENCODER, "local_attention": 8, **_SPECIALS}),
}
_CPU = torch.device("cpu")


@given(lengths=st.lists(st.integers(1, 50), max_size=40), tokens=st.integers(1, 120))
def test_every_text_is_in_one_batch_within_the_budget(lengths: list[int], tokens: int) -> None:
    batches = token_batches(lengths, tokens=tokens)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or sum(lengths[index] for index in batch) <= tokens
    order = [lengths[index] for batch in batches for index in batch]
    assert order == sorted(lengths)


@given(lengths=st.lists(st.integers(1, 50), min_size=1, max_size=40))
def test_buckets_hold_every_token_once_and_waste_little(lengths: list[int]) -> None:
    layout = make_layout(sorted(lengths), device=_CPU)
    assert [length for bucket in layout.buckets for length in bucket.lengths] == sorted(lengths)
    start = 0
    for bucket in layout.buckets:
        assert bucket.start == start
        start += bucket.num_tokens
        assert bucket.width * len(bucket.lengths) <= 1.3 * bucket.num_tokens
    assert layout.positions.tolist() == [place for length in sorted(lengths) for place in range(length)]
    assert layout.ends.tolist()[-1] == sum(lengths) - 1


def test_dropout_keys_belong_to_the_text_and_not_to_its_neighbours() -> None:
    first = make_layout([3, 4], device=_CPU, text_keys=[10, 11]).dropout_keys
    other = make_layout([4, 2, 3], device=_CPU, text_keys=[11, 5, 10]).dropout_keys
    assert first is not None
    assert other is not None
    assert first[:3].tolist() == other[-3:].tolist()
    assert first[3:].tolist() == other[:4].tolist()
    assert len(set(other.tolist())) == 9


def ids_of(rows: list[list[int]]) -> torch.Tensor:
    return torch.tensor([token for row in rows for token in row])


def test_the_shortcut_runs_the_last_feed_forward_layer_on_wanted_tokens_alone() -> None:
    attention.register()
    config = transformers.LlamaConfig(**_DECODER)
    model = transformers.AutoModel.from_config(config, attn_implementation=attention.NAME).eval()
    assert skip_unwanted(model)
    seen: dict[int, int] = {}
    for number, block in enumerate(model.layers):
        block.mlp.up_proj.register_forward_pre_hook(
            lambda _, inputs, number=number: seen.update({number: inputs[0].shape[1]})
        )
    layout = make_layout([4, 3], device=_CPU)
    run_packed(model, replace(layout, wanted=layout.ends), ids=torch.arange(7))
    assert seen == {0: 7, 1: 7, 2: 2}
    run_packed(model, layout, ids=torch.arange(7))
    assert seen == {0: 7, 1: 7, 2: 7}


@pytest.mark.parametrize("family", list(_FAMILIES))
def test_packed_states_equal_those_of_each_text_alone(family: str) -> None:
    name, settings = _FAMILIES[family]
    config = getattr(transformers, name)(**settings)
    attention.register()
    torch.manual_seed(0)
    # The configuration is copied: a model writes the attention it was made with into it.
    model = transformers.AutoModel.from_config(
        copy.deepcopy(config), attn_implementation=attention.NAME
    ).eval()
    plain = transformers.AutoModel.from_config(copy.deepcopy(config), attn_implementation="eager").eval()
    plain.load_state_dict(model.state_dict())
    rows = [torch.randint(5, 128, (length,)).tolist() for length in (3, 7, 20, 21, 22, 40, 60)]
    with torch.no_grad():
        wanted = [plain(input_ids=torch.tensor([row])).last_hidden_state[0] for row in rows]
        layout = make_layout([len(row) for row in rows], device=_CPU)
        found = run_packed(model, layout, ids=ids_of(rows))
        # Without a layout, the same model runs as transformers' own.
        ids = torch.tensor([rows[-1]])
        unpacked = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
        skip_unwanted(model)
        few = run_packed(model, replace(layout, wanted=layout.ends), ids=ids_of(rows))[layout.ends]
    torch.testing.assert_close(found, torch.cat(wanted), rtol=0, atol=5e-6)
    torch.testing.assert_close(few, found[layout.ends], rtol=0, atol=5e-6)
    torch.testing.assert_close(unpacked, wanted[-1], rtol=0, atol=5e-6)


def test_a_hidden_token_moves_no_other_token() -> None:
    attention.register()
    torch.manual_seed(0)
    config = transformers.LlamaConfig(**_DECODER)
    model = transformers.AutoModel.from_config(config, attn_implementation=attention.NAME).eval()
    hidden = torch.tensor([False, True, False, False, False, False, False])
    layout = make_layout([4, 3], device=_CPU, hidden=hidden)
    ids = torch.tensor([7, 8, 9, 10, 11, 12, 13])
    changed = ids.clone()
    changed[1] = 99
    with torch.no_grad():
        first, second = (run_packed(model, layout, ids=row) for row in (ids, changed))
    others = [0, 2, 3, 4, 5, 6]
    torch.testing.assert_close(first[others], second[others], rtol=0, atol=0)
    assert (first[1] - second[1]).abs().max() > 0.1


def test_the_variable_length_kernel_is_told_of_bounds_windows_and_heads() -> None:
    told: dict[str, Any] = {}

    def kernel(query: torch.Tensor, *rest: Any, **keywords: Any) -> torch.Tensor:
        told.update(bounds=rest[2].tolist(), longest=rest[4], **keywords)
        return query

    layout = make_layout([2, 5], device=_CPU)
    query, key = torch.rand(7, 4, 8), torch.rand(7, 2, 8)
    kernels.run_varlen(query, key, key, layout, is_causal=True, window=4, scale=0.5, kernel=kernel)
    assert told == {
        "bounds": [0, 2, 7],
        "longest": 5,
        "scale": 0.5,
        "window_size": (3, 0),
        "enable_gqa": True,
    }
    kernels.run_varlen(query, key, key, layout, is_causal=False, window=None, scale=None, kernel=kernel)
    assert told["window_size"] == (-1, -1)
    assert kernels.variable_length_kernel(query) is None


def test_a_layout_is_current_only_while_it_is_used() -> None:
    from harness.models.packing import current_layout

    layout = make_layout([1], device=_CPU)
    with using_layout(layout):
        assert current_layout() is layout
    assert current_layout() is None
