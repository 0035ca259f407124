"""The fields of a synthesis file, as types.

Owns the dataclasses that a YAML specification is validated into. The rule: what decides which examples
come out (`GENERATION`) is told from what only decides how fast and how dear they come.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from harness.study.document import Base
from harness.study.recipe import STRICT, Count, Fraction, PositiveFloat, PositiveInt
from harness.study.sources import Name
from harness.synthesis.kinds import paper_kinds

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAIBackend:
    """A server with OpenAI's protocol: proprietary ones, vLLM, llama.cpp, Ollama."""

    __pydantic_config__ = STRICT

    kind: Literal["openai"]
    model: Annotated[str, Field(min_length=1)]
    """The model's name, as the server knows it."""
    base_url: Annotated[str, Field(pattern=r"^https?://\S+$")] = "https://api.openai.com/v1"
    key_variable: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = "OPENAI_API_KEY"
    """Environment variable that holds the key. The key itself is never written anywhere."""
    structure: Literal["auto", "json_schema", "json_object", "none"] = "auto"
    """How the server is asked for JSON; `auto` takes the strictest way that it accepts."""
    bounded: bool = False
    """Whether the schema also has the largest length of each text. For servers that hold a small model
    to it, such as llama.cpp and vLLM; OpenAI's refuses such schemas."""
    tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """The request's field for the largest number of tokens; newer models of OpenAI want the second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformersBackend:
    """A checkpoint in this process, by transformers: no server at all."""

    __pydantic_config__ = STRICT

    kind: Literal["transformers"]
    base: Base
    """Where the checkpoint comes from, as in a study's `bases`."""
    batch: PositiveInt = 8
    """Answers that are written at once."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"
    bounded: bool = True
    """Whether the schema also has the largest length of each text."""


Backend = Annotated[OpenAIBackend | TransformersBackend, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the model draws its words."""

    __pydantic_config__ = STRICT

    temperature: Amount = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_tokens: PositiveInt = 2048
    """Largest answer, in tokens; a longer one is cut off and dropped."""
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Brainstorm:
    """The first step: tasks that examples are then written for."""

    __pydantic_config__ = STRICT

    tasks_per_reply: PositiveInt = 20
    examples_per_task: PositiveFloat = 2.1
    """Examples that share a task, on average; the paper has 150k tasks for 319k asymmetric examples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderGate:
    """Whether the positive is nearer to the query than the negative, to an embedder."""

    __pydantic_config__ = STRICT

    model: Annotated[str, Field(min_length=1)]
    """A model folder that the harness wrote, relative to the file."""
    margin: float = 0.0
    """By how much nearer, in cosine."""
    min_positive: float = -1.0
    """Least cosine of query and positive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """What an example must be, to be kept."""

    __pydantic_config__ = STRICT

    short_characters: tuple[PositiveInt, PositiveInt] = (2, 1000)
    """Least and most characters of a short text."""
    long_characters: tuple[PositiveInt, PositiveInt] = (30, 20000)
    """Of a text that `num_words` speaks of."""
    max_repetition: Fraction = 0.5
    """Largest share of a text's words that stand in a run of three words seen before in it."""
    language: bool = True
    """Whether texts must be in the language that was asked for, where it can be identified."""
    language_probability: Fraction = 0.3
    """Least probability of that language, among all 90 that can be identified."""
    near_duplicates: Annotated[float, Field(gt=0, le=1)] | None = 0.8
    """Jaccard similarity of word trigrams from which two examples count as one; not looked at if
    null."""
    embedder: EmbedderGate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How fast requests go out. Never part of what comes out."""

    __pydantic_config__ = STRICT

    concurrency: PositiveInt = 8
    requests_per_minute: PositiveInt | None = None
    tokens_per_minute: PositiveInt | None = None
    timeout_seconds: PositiveFloat = 120.0
    """For one attempt, from start to end."""
    attempts: PositiveInt = 6
    """Attempts a request, the first included."""
    max_wait_seconds: PositiveFloat = 60.0
    """Longest wait between two attempts; a server that asks for more gets it, up to ten times this."""
    max_reply_bytes: PositiveInt = 1_000_000
    """An answer is read no further than this."""
    stop_after_failures: PositiveInt = 20
    """Requests in a row that fail for good, before the run stops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """Prices, and where to stop."""

    __pydantic_config__ = STRICT

    input_per_million: Amount
    """Price of a million tokens of prompts, in any currency."""
    output_per_million: Amount
    """Of a million tokens of answers."""
    cap: Amount
    """Most that may be spent, in the same currency; a request that could pass it is not sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesisDocument:
    """A synthesis file: how many examples of what, by which model, within which limits."""

    __pydantic_config__ = STRICT

    name: Name
    description: str = ""
    size: PositiveInt = 500_000
    """Examples to keep; the paper has half a million."""
    max_requests: PositiveFloat = 3.0
    """Requests for examples at most, as a multiple of `size`: drops are replaced by further draws."""
    seed: Count = 0
    backend: Backend
    prompts: str = "v1"
    """A prompt file: `v1` (the paper's method), `v1-brief` (for small models), or a YAML file of
    yours."""
    kinds: Annotated[dict[str, Amount], Field(min_length=1)] = field(default_factory=paper_kinds)
    """Kind of task -> weight; the paper's figure 2 when empty. A kind that is left out gets none."""
    languages: Annotated[dict[str, Amount], Field(min_length=1)] | None = None
    """Language -> weight; the paper's shares over 93 languages when empty."""
    values: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = field(default_factory=dict)
    """Placeholder -> values to draw from in place of the paper's, such as `num_words: ["50"]`; or
    `kind.placeholder` for one kind alone."""
    sampling: Sampling = field(default_factory=Sampling)
    brainstorm: Brainstorm = field(default_factory=Brainstorm)
    gates: Gates = field(default_factory=Gates)
    limits: Limits = field(default_factory=Limits)
    spending: Spending | None = None
    """Needed for a server that is not on this machine; zero prices are prices too."""
    mirrors: tuple[str, ...] = ()
    """Folders that stand in for the hub, relative to the file."""
    profiles: dict[Name, dict[str, Any]] = field(default_factory=dict)
    """Named sets of overrides: dotted path -> value; `extends` names another profile."""


GENERATION = ("seed", "prompts", "kinds", "languages", "values", "sampling", "brainstorm")
"""Fields that decide what is asked: they cannot change in a folder that has answers."""
