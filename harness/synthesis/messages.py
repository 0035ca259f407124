"""Requests and replies, as every backend takes and gives them.

Owns the two dataclasses, the request's key, and the making of requests from draws. The rule: the key is
the fingerprint of all that is asked and of nothing else, so that an answer on disk is known again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.identity import fingerprint
from harness.synthesis.document import OpenAIBackend, Sampling
from harness.synthesis.draws import Draw
from harness.synthesis.kinds import KINDS, answer_schema, tasks_schema
from harness.synthesis.load import Specification

Step = Literal["brainstorm", "example"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One thing asked of the model, in a conversation of its own."""

    step: Step
    kind: str
    index: int
    """Number of the draw, or of the brainstorm within its kind."""
    model: str
    prompt: str
    schema: Mapping[str, Any]
    sampling: Sampling
    key: str = field(default="")
    """Fingerprint of the fields above; the index is among them, so that equal prompts are asked anew."""

    def __post_init__(self) -> None:
        asked = {
            name: getattr(self, name)
            for name in ("step", "kind", "index", "model", "prompt", "schema", "sampling")
        }
        object.__setattr__(self, "key", fingerprint(asked))

    @property
    def most_input_tokens(self) -> int:
        """No tokenizer makes more tokens of the prompt than it has bytes; the schema may count, too."""
        return len(self.prompt.encode()) + len(str(self.schema)) + 64

    @property
    def likely_input_tokens(self) -> int:
        """Four characters of English make about one token."""
        return len(self.prompt) // 4 + 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back, and what it cost in tokens."""

    text: str
    """The answer as it was written; cut where `is_oversized`."""
    finish: str
    """Why the model stopped: `stop`, `length`, or another word of the server's."""
    input_tokens: int | None = None
    """As the server counted them; None where it did not."""
    output_tokens: int | None = None
    served_by: str = ""
    """Name under which the server answered."""
    num_bytes: int = 0
    is_oversized: bool = False
    """Whether reading stopped at the largest answer allowed."""


def brainstorm_request(specification: Specification, kind: str, index: int) -> Request:
    """Return the request for one list of tasks."""
    document = specification.document
    num_tasks = document.brainstorm.tasks_per_reply
    return Request(
        step="brainstorm",
        kind=kind,
        index=index,
        model=model_name(specification),
        prompt=specification.prompts.brainstorm(kind, num_tasks=num_tasks),
        schema=tasks_schema(num_tasks, bounded=document.backend.bounded),
        sampling=document.sampling,
    )


def example_request(specification: Specification, one: Draw, task: str | None) -> Request:
    """Return the request for one example."""
    document, openings = specification.document, specification.prompts.document.openings
    prompt = specification.prompts.example(
        one.kind, values=one.values, language=one.language, target=one.target, task=task
    )
    return Request(
        step="example",
        kind=one.kind,
        index=one.index,
        model=model_name(specification),
        prompt=prompt,
        schema=answer_schema(
            KINDS[one.kind],
            one.values,
            bounded=document.backend.bounded,
            openings=openings.get(one.language, ()),
            target_openings=openings.get(one.target or "", ()),
        ),
        sampling=document.sampling,
    )


def model_name(specification: Specification) -> str:
    """Return the model's name as it is recorded: the server's, or where the checkpoint comes from."""
    backend = specification.document.backend
    if isinstance(backend, OpenAIBackend):
        return backend.model
    base = backend.base
    return base.hub or base.path or base.gguf or ""
