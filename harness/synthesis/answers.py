"""From a model's words to the texts of an example, or to the reason why they are none.

Owns the reading of answers. The rule: an answer counts only if it is whole, is JSON of exactly the
fields that were asked for, and holds plain text; the reason of every refusal has one of the names below.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from harness.synthesis.kinds import KINDS
from harness.synthesis.messages import Reply

Reason = Literal[
    "no answer",
    "not asked",
    "too large",
    "refusal",
    "cut off",
    "not JSON",
    "wrong fields",
    "markup",
    "too short",
    "too long",
    "repetitive",
    "echo of the prompt",
    "copied",
    "wrong language",
    "duplicate",
    "near duplicate",
    "negative too close",
]
REASONS: tuple[Reason, ...] = Reason.__args__  # type: ignore[attr-defined]

M = TypeVar("M", bound=BaseModel)

_MARKUP = re.compile(
    r"<\|[^|<>]{1,40}\|>|</?(?:s|think|system|user|assistant)>|\[/?INST\]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd]"
)
_ORDERS = re.compile(
    r"\b(?:ignore|disregard|forget|override)\b[^.]{0,40}\b(?:instruction|prompt|previous|above|earlier|rule)s?\b"
    r"|\b(?:system|developer) (?:prompt|message)\b|\byou are (?:now|an? AI|ChatGPT)\b|\bhttps?://",
    re.IGNORECASE,
)
_TASK_CHARACTERS = (15, 300)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why something a model wrote is not used."""

    reason: Reason
    detail: str = ""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Tasks(_Strict):
    tasks: list[str] = Field(min_length=1)


def read_example(reply: Reply, kind: str) -> dict[str, str] | Refused:
    """Return field -> text, without space around it, or why there is no example."""
    model = _example_model(kind)
    found = _read(reply, model)
    if isinstance(found, Refused):
        return found
    texts = {name: text.strip() for name, text in found.model_dump().items()}
    for name, text in texts.items():
        if _MARKUP.search(text):
            return Refused(reason="markup", detail=name)
    return texts


def read_tasks(reply: Reply) -> list[str | Refused] | Refused:
    """Return the tasks of a brainstorm, each as one line or as the reason why it is not used.

    A task stands in later prompts and before queries in training. What reads like an order to a model,
    or could end its line, is left out.
    """
    found = _read(reply, _Tasks)
    if isinstance(found, Refused):
        return found
    return [_clean(task) for task in found.tasks]


def _clean(task: str) -> str | Refused:
    task = re.sub(r"^\s*(?:\d+[.):]|[-*\u2022])\s+", "", task).strip()
    least, most = _TASK_CHARACTERS
    if _MARKUP.search(task) or "\n" in task or "{" in task:
        return Refused(reason="markup", detail=task[:200])
    if _ORDERS.search(task):
        return Refused(reason="markup", detail=f"an order or address: {task[:200]}")
    if len(task) < least or len(task.split()) < 3:
        return Refused(reason="too short", detail=task)
    if len(task) > most:
        return Refused(reason="too long", detail=task[:200])
    return task


@cache
def _example_model(kind: str) -> type[BaseModel]:
    fields: dict[str, Any] = {field.name: (str, Field(min_length=1)) for field in KINDS[kind].fields}
    return create_model(kind, __base__=_Strict, **fields)


def _read(reply: Reply, model: type[M]) -> M | Refused:
    if reply.is_oversized:
        return Refused(reason="too large", detail=f"{reply.num_bytes} bytes")
    if reply.finish == "length":
        return Refused(reason="cut off", detail=reply.text[-80:])
    if reply.finish in {"refusal", "content_filter"}:
        return Refused(reason="refusal", detail=reply.text[:200])
    text = reply.text.strip()
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        first, refused = error, _refuse(error, text)
    # Models that are not held to JSON put it between other words, or into a fence.
    inner = text[text.find("{") : text.rfind("}") + 1]
    if first.errors()[0]["type"] != "json_invalid" or not inner:
        return refused
    try:
        return model.model_validate_json(inner)
    except ValidationError as error:
        return _refuse(error, inner)


def _refuse(error: ValidationError, text: str) -> Refused:
    fault = error.errors(include_url=False)[0]
    if fault["type"] == "json_invalid":
        return Refused(reason="not JSON", detail=text[:80])
    where = ".".join(str(part) for part in fault["loc"])
    return Refused(reason="wrong fields", detail=f"{where}: {fault['msg']}"[:200])
