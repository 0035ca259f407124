"""The six kinds of task, what varies inside each, and how an answer becomes a training pair.

Owns the facts of E5-mistral's appendix C: fields, placeholders and their values. The rule: everything
that a prompt can say of an example is drawn from here, so a draw names its prompt. The wording is the
prompt file's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["query", "positive", "negative"]
KindName = Literal["short-long", "long-short", "short-short", "long-long", "sts", "bitext"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One text of an answer."""

    name: str
    """Its key in the JSON answer."""
    role: Role
    is_long: bool = False
    """Whether it is the text that `num_words` speaks of."""
    in_target: bool = False
    """Whether it is written in the second language (bitext)."""
    is_label: bool = False
    """Whether it is the name of a category, and no text of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of task."""

    name: KindName
    thousands: float
    """Examples of the paper's half million, in thousands (figure 2); only their ratios count."""
    has_tasks: bool
    """Whether examples are written for a task that was brainstormed first."""
    fields: tuple[Field, ...]
    values: Mapping[str, tuple[str, ...]]
    """Placeholder -> the values that are drawn from, with equal chances."""


_PLAIN = r'[^"\\\n]'
"""Characters that JSON writes as they are: llama.cpp lets a pattern's text end its string otherwise."""
_LONGEST_SHORT = 100
_SHORTEST_LONG = 30
"""Characters, where a schema has bounds."""

_CLARITY = ("clear", "understandable with some effort", "ambiguous")
_DIFFICULTY = ("high school", "college", "PhD")
_EASY = ("elementary school", "high school", "college")
_UNIT = ("sentence", "phrase", "passage")
_HIGH = ("4", "4.5", "5")

KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            name="short-long",
            thousands=167,
            has_tasks=True,
            fields=(
                Field(name="user_query", role="query"),
                Field(name="positive_document", role="positive", is_long=True),
                Field(name="hard_negative_document", role="negative", is_long=True),
            ),
            values={
                "query_type": ("extremely long-tail", "long-tail", "common"),
                "query_length": ("less than 5 words", "5 to 15 words", "at least 10 words"),
                "clarity": _CLARITY,
                "difficulty": _DIFFICULTY,
                "num_words": ("50", "100", "200", "300", "400", "500"),
            },
        ),
        Kind(
            name="long-short",
            thousands=122,
            has_tasks=True,
            fields=(
                Field(name="input_text", role="query", is_long=True),
                Field(name="label", role="positive", is_label=True),
                Field(name="misleading_label", role="negative", is_label=True),
            ),
            values={
                "num_words": (
                    "less than 10",
                    "at least 10",
                    "at least 50",
                    "at least 100",
                    "at least 200",
                ),
                "clarity": _CLARITY,
                "difficulty": _DIFFICULTY,
            },
        ),
        Kind(
            name="short-short",
            thousands=13,
            has_tasks=True,
            fields=(
                Field(name="input", role="query"),
                Field(name="positive_document", role="positive"),
            ),
            values={},
        ),
        Kind(
            name="long-long",
            thousands=17,
            has_tasks=True,
            fields=(
                Field(name="input", role="query", is_long=True),
                Field(name="positive_document", role="positive", is_long=True),
            ),
            values={"num_words": ("at least 300",)},
        ),
        Kind(
            name="sts",
            thousands=99,
            has_tasks=False,
            fields=(
                Field(name="S1", role="query"),
                Field(name="S2", role="positive"),
                Field(name="S3", role="negative"),
            ),
            values={
                "unit": _UNIT,
                "high": _HIGH,
                "low": ("2.5", "3", "3.5"),
                "difficulty": _EASY,
            },
        ),
        Kind(
            name="bitext",
            thousands=89,
            has_tasks=False,
            fields=(
                Field(name="S1", role="query"),
                Field(name="S2", role="positive", in_target=True),
                Field(name="S3", role="negative", in_target=True),
            ),
            values={
                "unit": _UNIT,
                "high": _HIGH,
                "low": ("1.5", "2", "2.5"),
                "difficulty": _EASY,
            },
        ),
    )
}


def paper_kinds() -> dict[str, float]:
    """Return kind -> its weight in the paper's figure 2."""
    return {kind.name: kind.thousands for kind in KINDS.values()}


def num_words(values: Mapping[str, str]) -> int:
    """Return the words that a draw asks of a long text; 20 where it says nothing."""
    found = re.search(r"\d+", values.get("num_words", ""))
    return int(found.group()) if found else 20


def answer_schema(
    kind: Kind,
    values: Mapping[str, str],
    *,
    bounded: bool,
    openings: Sequence[str] = (),
    target_openings: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the JSON Schema of an answer, all fields required and no others.

    Args:
        kind: The kind of task.
        values: The draw's values; they say how long a long text may get.
        bounded: Whether texts have a largest length, for servers that hold a model to it. Models
            that ramble would else run into the limit of tokens in the middle of a text.
        openings: Where bounded, first words of which a text has one, in its language: a small model
            then stays in it. Any first word when empty.
        target_openings: Likewise, in the second language.
    """
    properties: dict[str, Any] = {}
    for field in kind.fields:
        longest = max(_LONGEST_SHORT, 8 * num_words(values)) if field.is_long else _LONGEST_SHORT
        shortest = _SHORTEST_LONG if field.is_long else 2
        words = target_openings if field.in_target else openings
        text: dict[str, Any] = {"type": "string"}
        if bounded and words and not field.is_label:
            first = "|".join(re.escape(word) for word in words)
            text["pattern"] = f"^({first}) {_PLAIN}{{{shortest},{longest}}}$"
        elif bounded:
            text |= {"minLength": shortest, "maxLength": longest}
        properties[field.name] = text
    return _object(properties)


def tasks_schema(num_tasks: int, *, bounded: bool) -> dict[str, Any]:
    """Return the JSON Schema of a brainstorm's answer: a list of one-sentence tasks."""
    item: dict[str, Any] = {"type": "string"}
    tasks: dict[str, Any] = {"type": "array", "items": item}
    if bounded:
        item |= {"minLength": 10, "maxLength": 200}
        tasks |= {"minItems": 1, "maxItems": num_tasks}
    return _object({"tasks": tasks})


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
