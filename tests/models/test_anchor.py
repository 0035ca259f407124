"""The anchor token at the end of every row."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from harness.errors import DataError, ProbeError
from harness.models.anchor import AnchorTokenizer, with_anchor


@pytest.fixture(scope="module")
def raw(tiny_checkpoint: Path) -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(tiny_checkpoint)


@pytest.fixture(scope="module")
def anchored(raw: PreTrainedTokenizerFast) -> AnchorTokenizer:
    return AnchorTokenizer(with_anchor(raw, max_length=64))


def test_the_raw_tokenizer_appends_nothing(raw: PreTrainedTokenizerFast) -> None:
    assert raw("river")["input_ids"][-1] != raw.eos_token_id


@given(
    texts=st.lists(st.text(alphabet=st.characters(codec="utf-8"), max_size=60), min_size=1, max_size=4),
    max_length=st.integers(2, 20),
)
@settings(max_examples=60)
def test_every_row_ends_in_the_anchor_and_fits(
    anchored: AnchorTokenizer, texts: list[str], max_length: int
) -> None:
    rows = anchored.tokenise(texts, max_length)
    assert all(row[-1] == anchored.anchor_id and len(row) <= max_length for row in rows)
    assert anchored.targets(texts, max_length) == [row[:-1] for row in rows]


def test_the_anchor_survives_saving_and_loading(anchored: AnchorTokenizer, tmp_path: Path) -> None:
    anchored.tokenizer.save_pretrained(tmp_path)
    loaded = AnchorTokenizer.load(tmp_path)
    texts = ["river", "", "word " * 50, f"a {anchored.anchor} b"]
    assert loaded.tokenise(texts, 12) == anchored.tokenise(texts, 12)
    assert loaded.tokenizer.chat_template is None
    assert loaded.tokenizer.padding_side == "right"


def test_a_beginning_token_is_kept_and_is_no_target(raw: PreTrainedTokenizerFast) -> None:
    begins = PreTrainedTokenizerFast(
        tokenizer_object=raw.backend_tokenizer, eos_token=raw.eos_token, bos_token=raw.bos_token
    )
    begins.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|start|> $A", pair="<|start|> $A $B", special_tokens=[("<|start|>", raw.bos_token_id)]
    )
    tokenizer = AnchorTokenizer(with_anchor(begins, max_length=64))
    (row,) = tokenizer.tokenise(["river"], 16)
    assert (row[0], row[-1]) == (raw.bos_token_id, raw.eos_token_id)
    assert tokenizer.targets(["river"], 16) == [row[1:-1]]
    assert len(tokenizer.tokenise(["word " * 50], 16)[0]) == 16
    again = AnchorTokenizer(with_anchor(tokenizer.tokenizer, max_length=64))
    assert again.tokenise(["river"], 16) == [row]


def test_a_tokenizer_without_end_token_is_refused(raw: PreTrainedTokenizerFast) -> None:
    endless = PreTrainedTokenizerFast(tokenizer_object=raw.backend_tokenizer)
    with pytest.raises(DataError, match="no end-of-text token"):
        with_anchor(endless, max_length=64)


def test_a_tokenizer_that_drops_the_anchor_is_caught(raw: PreTrainedTokenizerFast) -> None:
    with pytest.raises(ProbeError, match="leaves out the anchor token"):
        AnchorTokenizer(raw).tokenise(["river"], 16)
