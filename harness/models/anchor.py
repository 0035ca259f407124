"""The anchor: the one token that ends every text and whose hidden state is the text's embedding.

Owns the tokenizer as models keep it. The rule: every row of token ids ends in the anchor, also when
the text was cut, and the tokenizer's own post-processor puts it there, so that any library that
loads the saved tokenizer gets the same ids. Tokenizer settings of recent libraries are known to drop
an end-of-text token silently; here a row without it raises.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from harness.errors import DataError, ProbeError


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
        """Special tokens (a beginning-of-text token) that the tokenizer puts before every text."""

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

    def targets(self, texts: Sequence[str], max_length: int) -> list[list[int]]:
        """Return the ids of the texts alone: cut as by `tokenise`, without any special token."""
        return [row[self.num_leading : -1] for row in self.tokenise(texts, max_length)]


def with_anchor(tokenizer: PreTrainedTokenizerFast, *, max_length: int) -> PreTrainedTokenizerFast:
    """Return a copy of `tokenizer` that appends its end-of-text token to every text.

    What it puts before a text stays. It has no chat template, since sentence-transformers would wrap
    every text in one; it pads and cuts on the right; where it had no padding token, the anchor pads.

    Raises:
        DataError: When the tokenizer has no end-of-text token or no fast implementation.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise DataError("the base's tokenizer has no fast implementation (tokenizer.json)")
    if tokenizer.eos_token is None:
        raise DataError(
            "the base's tokenizer has no end-of-text token to serve as anchor",
            cure="Set `eos_token` in the checkpoint's tokenizer_config.json.",
        )
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_padding()
    backend.no_truncation()
    leading = backend.encode("a").ids[: _leading_specials(backend)]
    specials = [(backend.id_to_token(number), number) for number in [*leading, tokenizer.eos_token_id]]
    pieces = [name for name, _ in specials]
    # A pair of texts is never encoded; a template for it is required all the same.
    backend.post_processor = TemplateProcessing(
        single=[*pieces[:-1], "$A", pieces[-1]],
        pair=[*pieces[:-1], "$A", pieces[-1], "$B:1", f"{pieces[-1]}:1"],
        special_tokens=sorted(set(specials)),
    )
    names = {"eos_token": tokenizer.eos_token, "pad_token": tokenizer.pad_token or tokenizer.eos_token}
    for kind in ("bos_token", "unk_token"):
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


def _leading_specials(backend: Tokenizer) -> int:
    mask = backend.encode("a").special_tokens_mask
    return next((index for index, special in enumerate(mask) if not special), 0)
