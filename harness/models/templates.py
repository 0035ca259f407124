"""What stands around a text: the special tokens of a plain base, or the user turn of a chat template.

Owns the choice of leading tokens and anchor. The rule: both are token ids that the saved tokenizer's
post-processor puts there itself, so that every library gets them right without a chat template. How they
are put there is `anchor`'s affair.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from transformers import PreTrainedTokenizerFast

from harness.errors import DataError

_CONTENT = "c0ntent"

# Templates that print today's date would give every day other embeddings.
_DAY = datetime(2024, 7, 26)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The tokens around every text."""

    leading: tuple[int, ...]
    """Ids before the text."""
    anchor: int
    """Id of the one token after it."""


def plain_frame(tokenizer: PreTrainedTokenizerFast) -> Frame:
    """Return what a tokenizer puts before a text, and its end-of-text token.

    A tokenizer without an end-of-text token (BERT's) has its separator instead.

    Raises:
        DataError: When it has neither.
    """
    anchor = tokenizer.eos_token if tokenizer.eos_token is not None else tokenizer.sep_token
    if anchor is None:
        raise DataError(
            "the base's tokenizer has no end-of-text token to serve as anchor",
            cure="Set `eos_token` in the checkpoint's tokenizer_config.json.",
        )
    encoded = tokenizer.backend_tokenizer.encode("a")
    mask = encoded.special_tokens_mask
    num_leading = next((index for index, special in enumerate(mask) if not special), 0)
    return Frame(
        leading=tuple(encoded.ids[:num_leading]), anchor=tokenizer.convert_tokens_to_ids(anchor)
    )


def chat_frame(tokenizer: PreTrainedTokenizerFast) -> Frame:
    """Return what the tokenizer's chat template puts around the content of one user turn.

    The turn is rendered without a prompt for an answer. The token right after the content, which ends
    the turn, is the anchor; what the template puts after it is left out.

    Raises:
        DataError: When there is no chat template, or it ends a turn with no token of its own.
    """
    if not tokenizer.chat_template:
        raise DataError(
            "the base's tokenizer has no chat template, which `model.template: chat` asks for",
            cure="Choose an instruct model as base, or set model.template to plain.",
        )
    rendered = _render(tokenizer)
    if rendered.count(_CONTENT) != 1:
        raise DataError(
            f"the base's chat template puts a user's text {rendered.count(_CONTENT)} times into a turn",
            cure="Set model.template to plain.",
        )
    before, after = rendered.split(_CONTENT)
    leading = _ids(tokenizer, before)
    trailing = _ids(tokenizer, after)
    specials = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    if not trailing or trailing[0] not in specials | set(tokenizer.all_special_ids):
        raise DataError(
            f"the base's chat template ends a user's turn with {after!r}, which is no special token",
            cure="There is nothing to serve as anchor; set model.template to plain.",
        )
    return Frame(leading=tuple(leading), anchor=trailing[0])


def _render(tokenizer: PreTrainedTokenizerFast) -> str:
    template = tokenizer.chat_template
    try:
        return str(
            tokenizer.apply_chat_template(
                [{"role": "user", "content": _CONTENT}],
                chat_template=_still_clock() + template if "strftime_now" in template else template,
                tokenize=False,
                add_generation_prompt=False,
                date_string=_DAY.strftime("%d %b %Y"),
            )
        )
    except Exception as error:
        # A template is a program of the checkpoint's author; it may raise anything.
        raise DataError(
            f"the base's chat template cannot render one user turn: {error}",
            cure="Set model.template to plain.",
        ) from error


def _still_clock() -> str:
    """Return a template's macro that takes the place of the clock; functions cannot be handed in."""
    filters = "".join(
        f" | replace('%{letter}', '{_DAY.strftime(f'%{letter}')}')" for letter in "aAbBdmyYHMSjpI"
    )
    return "{%- macro strftime_now(pattern) -%}{{ pattern" + filters + " }}{%- endmacro -%}"


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []
