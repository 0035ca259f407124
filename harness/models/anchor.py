"""The anchor: the one token that ends every text and whose hidden state is the text's embedding.

Owns the tokenizer as models keep it. The rule: every row of token ids ends in the anchor, also when
the text was cut, and the tokenizer's own post-processor puts it there, so that any library that
loads the saved tokenizer gets the same ids. Tokenizer settings of recent libraries are known to drop
an end-of-text token silently; here a row without it raises.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from harness.errors import DataError, ProbeError
from harness.models.templates import Frame, chat_frame, plain_frame

# Names of the pieces in the post-processor; no vocabulary holds them.
_START, _END = "[leading]", "[anchor]"
# Texts that join a prompt's end in different ways.
_FIRST_TEXTS = ("", "a", "The", "1", "\n")


class AnchorTokenizer:
    """A tokenizer that appends the anchor token after cutting a text to length.

    Args:
        tokenizer: A tokenizer made by `with_anchor`, or one saved from it.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self.anchor_id: int = tokenizer.eos_token_id
        """Id of the anchor token."""
        self.padding_id: int = tokenizer.pad_token_id
        """Id of the padding token; the anchor's where the base has none."""
        self.num_leading: int = _leading_specials(tokenizer.backend_tokenizer)
        """Tokens that the tokenizer puts before every text: a beginning of the text, a turn's header."""

    @classmethod
    def load(cls, folder: Path) -> AnchorTokenizer:
        """Load the tokenizer of a model folder."""
        return cls(AutoTokenizer.from_pretrained(folder, local_files_only=True))

    @property
    def anchor(self) -> str:
        """The anchor token as text."""
        return str(self.tokenizer.eos_token)

    def tokenise(self, texts: Sequence[str], max_length: int) -> list[list[int]]:
        """Return the token ids of each text, at most `max_length` of them, the anchor last.

        Raises:
            ProbeError: When a row does not end in the anchor.
        """
        if not texts:
            return []
        rows: list[list[int]] = self.tokenizer(
            list(texts),
            truncation=True,
            max_length=max_length,
            padding=False,
            return_attention_mask=False,
            return_token_type_ids=False,
        )["input_ids"]
        for text, row in zip(texts, rows, strict=True):
            if not row or row[-1] != self.anchor_id:
                raise ProbeError(
                    f"the tokenizer leaves out the anchor token {self.anchor!r} after {text[:60]!r}",
                    cure="Its post-processor must append the anchor; build the base model again.",
                )
        return rows

    def beginning(self, prompt: str, max_length: int) -> list[int]:
        """Return the tokens that a text behind `prompt` begins with, as far as texts do not change them.

        A text's first characters may join the prompt's last ones in a token, so a row is to be looked
        at before it is taken to begin so.
        """
        rows = self.tokenise([prompt + text for text in _FIRST_TEXTS], max_length)
        places = zip(*(row[:-1] for row in rows), strict=False)
        return [tokens[0] for tokens in takewhile(lambda tokens: len(set(tokens)) == 1, places)]

    def targets(self, texts: Sequence[str], max_length: int) -> list[list[int]]:
        """Return the ids of the texts alone: cut as by `tokenise`, without any special token."""
        return [row[self.num_leading : -1] for row in self.tokenise(texts, max_length)]


def with_anchor(
    tokenizer: PreTrainedTokenizerFast,
    *,
    max_length: int,
    template: Literal["plain", "chat"] = "plain",
) -> PreTrainedTokenizerFast:
    """Return a copy of `tokenizer` that puts its leading tokens before and the anchor after every text.

    The copy has no chat template, since sentence-transformers would wrap every text in one; it pads and
    cuts on the right; where it had no padding token, the anchor pads.

    Args:
        tokenizer: The base's tokenizer, or one made here.
        max_length: Tokens a text, with all that is put around it.
        template: `plain` keeps what the tokenizer puts before a text, and its end-of-text token is the
            anchor; `chat` takes both from the chat template's user turn.

    Raises:
        DataError: When the tokenizer cannot be used so, or `max_length` leaves no room for a text.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise DataError("the base's tokenizer has no fast implementation (tokenizer.json)")
    frame = plain_frame(tokenizer) if template == "plain" else chat_frame(tokenizer)
    if max_length <= len(frame.leading) + 1:
        raise DataError(
            f"max_length {max_length} leaves no room for a text: {len(frame.leading)} tokens stand "
            "before it and the anchor after it",
            cure=f"Set model.max_length to at least {len(frame.leading) + 2}.",
        )
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_padding()
    backend.no_truncation()
    backend.post_processor = _post_processor(backend, frame)
    anchor = backend.id_to_token(frame.anchor)
    names = {"eos_token": anchor, "pad_token": tokenizer.pad_token or anchor}
    for kind in ("bos_token", "unk_token", "cls_token", "sep_token", "mask_token"):
        if getattr(tokenizer, kind) is not None:
            names[kind] = getattr(tokenizer, kind)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=max_length,
        padding_side="right",
        truncation_side="right",
        clean_up_tokenization_spaces=False,
        **names,
    )


def _post_processor(backend: Tokenizer, frame: Frame) -> TemplateProcessing:
    tokens = [backend.id_to_token(number) for number in frame.leading]
    anchor = backend.id_to_token(frame.anchor)
    specials: list[Any] = [{"id": _END, "ids": [frame.anchor], "tokens": [anchor]}]
    pieces = ["$A", _END]
    if frame.leading:
        # One piece of several ids: a turn's header is made of ordinary tokens, too.
        specials.append({"id": _START, "ids": list(frame.leading), "tokens": tokens})
        pieces = [_START, *pieces]
    # A pair of texts is never encoded; a template for it is required all the same.
    return TemplateProcessing(
        single=pieces, pair=[*pieces, "$B:1", f"{_END}:1"], special_tokens=specials
    )


def _leading_specials(backend: Tokenizer) -> int:
    mask = backend.encode("a").special_tokens_mask
    return next((index for index, special in enumerate(mask) if not special), 0)
