"""The recipe of one variant: every setting that can change its weights or its scores.

Owns the configuration dataclasses of model, data and the training stages. The rule: whatever is
here enters a variant's identity, and whatever is not here must not change a number. Defaults follow
the two papers where they print one (Anchor Embedding, arXiv 2509.03020; E5-mistral, arXiv
2401.00368).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=False, strict=False, defer_build=True)
"""Of every type of a study file. Validators take longer to build than most commands run: each is built
when it is first asked, and none reads the fields' texts, which the JSON Schema alone shows."""


def _no_truth(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"needs a number, not {str(value).lower()}")
    return value


_Number = BeforeValidator(_no_truth)
"""To Python `true` is 1; to who wrote it, it is a mistake."""
PositiveInt = Annotated[int, Field(ge=1), _Number]
Count = Annotated[int, Field(ge=0), _Number]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False), _Number]
Fraction = Annotated[float, Field(ge=0, le=1), _Number]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Which network is trained and how it turns a text into one vector."""

    __pydantic_config__ = STRICT

    base: str
    """Name of the base checkpoint, one of the study's `bases`."""
    num_layers: PositiveInt | None = None
    """Keep only the first layers of the base; all of them when empty."""
    pooling: Literal["last", "mean", "weighted_mean"] = "last"
    """`last` takes the hidden state at the anchor token that is appended to every text; `mean` averages
    over all tokens; `weighted_mean` weights the i-th token by i (SGPT, arXiv 2202.08904)."""
    max_length: Annotated[int, Field(ge=2)] = 512
    """Tokens a text when encoding, the anchor included; longer texts are cut."""
    template: Literal["plain", "chat"] = "plain"
    """`chat` puts every text into the user turn of the tokenizer's chat template; the token that ends
    the turn is then the anchor."""
    attention: Literal["native", "causal", "bidirectional"] = "native"
    """What a token sees; `native` leaves it as the base was trained."""
    rope_base: PositiveFloat | None = None
    """Base of the rotary position embedding; the checkpoint's own when empty. A larger one stretches the
    positions for texts longer than the base was trained on."""
    sliding_window: PositiveInt | None = None
    """Tokens that a token sees, itself included, where the base has a window; its own if empty."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the base weights; the loss and the similarities are always float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationConfig:
    """Which pairs are held out of training to measure it by; exactly one of `pairs` and `share`."""

    __pydantic_config__ = STRICT

    pairs: Annotated[int, Field(ge=2)] | None = None
    """Number of pairs."""
    share: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of the pair set."""
    seed: Count = 0
    """Which pairs: the same in all stages and for all seeds of a study. No pair trains that has the text
    of a held-out query or positive in any of its own texts."""

    def __post_init__(self) -> None:
        """Refuse none and both."""
        if (self.pairs is None) == (self.share is None):
            raise ValueError("validation needs exactly one of `pairs` and `share`")

    def count(self, num_pairs: int) -> int:
        """Return how many of a set's pairs are to be held out."""
        return self.pairs if self.pairs is not None else round((self.share or 0.0) * num_pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Which text pairs are trained on."""

    __pydantic_config__ = STRICT

    source: str
    """Name of a training source, one of the study's `sources`."""
    pairs: str = "default"
    """Which of the source's pair sets."""
    batching: Literal["mixed", "same_dataset"] = "mixed"
    """`same_dataset` draws each batch from one of the datasets that the pairs name."""
    ratios: dict[str, Annotated[float, Field(gt=0, le=1)]] = field(default_factory=dict, hash=False)
    """Dataset -> share of its pairs that is sampled; datasets that are not named are taken whole."""
    validation: ValidationConfig | None = None
    """Pairs that are held out to measure each stage by; none when empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptConfig:
    """What is put before texts, in training and in evaluation alike."""

    __pydantic_config__ = STRICT

    query: str = ""
    """For queries, and for the texts of tasks that are not retrieval: a literal prefix, or the task's
    instruction where `format` is not `prefix`. A training pair's own instruction takes its place."""
    document: str = ""
    """Literal prefix of documents."""
    format: Literal["prefix", "instruct", "semicolon"] = "prefix"
    """How an instruction becomes a prefix: as it is; as in E5-mistral (arXiv 2401.00368), `Instruct:
    ...` and `Query: ` on two lines; or as in Anchor Embedding (arXiv 2509.03020), `...; `."""

    tasks: str = "none"
    """Instructions a task, for evaluation alone: `none`, `e5-v1` (those of E5-mistral), `mteb` (those of
    mteb's task metadata), or a YAML file relative to the study file. Where a task has one, it takes the
    place of `query` or `document`, in the same `format`."""

    def __post_init__(self) -> None:
        """Refuse instructions that would run into the text."""
        if self.tasks in {"e5-v1", "mteb"} and self.format == "prefix":
            raise ValueError(
                f"tasks: {self.tasks} holds instructions and no prefixes; it needs `format: instruct` or"
                " `format: semicolon`"
            )

    def query_prefix(self, instruction: str | None = None) -> str:
        """Return what stands literally before a query.

        Args:
            instruction: Takes the place of `query` where given.
        """
        text = self.query if instruction is None else instruction
        if not text or self.format == "prefix":
            return text
        return f"Instruct: {text}\nQuery: " if self.format == "instruct" else f"{text}; "


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningConfig:
    """Which weights a training stage may move."""

    __pydantic_config__ = STRICT

    method: Literal["full", "lora"] = "lora"
    """`full` trains all weights, `lora` low-rank adapters on the linear projections."""
    rank: PositiveInt = 16
    """Rank of the adapters."""
    alpha: PositiveFloat = 32.0
    """Scale of the adapters: updates are multiplied by alpha / rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Dropout on the adapters' input."""
    targets: tuple[str, ...] = (
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
    )
    """Names of the linear layers that get an adapter."""
    merge: bool = False
    """Whether trained adapters are added to the weights of the model folder; else they lie beside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconstructionConfig:
    """Stage I: the embedding of one text must let the same model write its counterpart."""

    __pydantic_config__ = STRICT

    steps: Count = 0
    """Optimiser steps; 0 leaves the stage out."""
    alpha: Fraction = 0.2
    """Weight of query -> document; document -> query has 1 - alpha."""
    global_batch: PositiveInt = 512
    """Pairs an optimiser step."""
    targets: Literal["text", "prompted"] = "text"
    """What is reconstructed: the text alone, or with its prompt and template as in the authors' code."""
    mask_prompt: bool = False
    """Hide the tokens of prompt and template from those after them while decoding, as in the authors'
    code; needs `targets: prompted`."""
    predict_anchor: bool = False
    """Whether the anchor token is a target, after the text's last token."""
    anchor_position: Literal["adjacent", "before_padding"] = "adjacent"
    """Where the embedding stands while decoding: next to the first target, or, as in the authors' code,
    before the padding that makes all targets of the step as long as the longest."""
    projection: Literal["none", "norm", "linear"] = "none"
    """What the embedding goes through before it is decoded: nothing, scaling to the mean norm of the
    input embeddings, or a trained linear layer that is thrown away after the stage."""
    learning_rate: PositiveFloat = 4e-5
    warmup_steps: Count = 300
    """Linear warm-up, then linear decay to zero."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    max_grad_norm: PositiveFloat = 1.0
    query_length: Annotated[int, Field(ge=2)] = 512
    """Tokens a query, the anchor included."""
    document_length: Annotated[int, Field(ge=2)] = 512
    """Tokens a document, the anchor included."""
    tuning: TuningConfig = field(default_factory=lambda: TuningConfig(method="full"))
    validate_every: PositiveInt | None = None
    """Steps between two measures of the held-out pairs (`data.validation`); a tenth of `steps` if empty.
    The last step is always measured."""
    keep: Literal["last", "best"] = "last"
    """Whether the stage leaves the weights after its last step, or those that had the lowest loss on the
    held-out pairs; of equal ones the earliest."""
    seed: Count | None = None
    """Seed of this stage; the variant's own when empty. A fixed one lets variants share the stage."""

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other."""
        if self.mask_prompt and self.targets != "prompted":
            raise ValueError(
                "mask_prompt hides a prompt that is no target; it needs `targets: prompted`"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ContrastiveConfig:
    """Stage II: InfoNCE over cosine similarities with in-batch and hard negatives."""

    __pydantic_config__ = STRICT

    steps: Count = 1000
    """Optimiser steps; 0 leaves the stage out."""
    global_batch: PositiveInt = 1024
    """Pairs an optimiser step, over all devices: what the loss sees as in-batch negatives."""
    temperature: PositiveFloat = 0.02
    symmetric: bool = False
    """Whether documents also choose among queries; the loss is the mean of both directions."""
    num_negatives: Count = 0
    """Hard negatives a query, taken from the pair set."""
    learning_rate: PositiveFloat = 2e-4
    warmup_steps: Count = 300
    """Linear warm-up, then linear decay to zero."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    max_grad_norm: PositiveFloat = 1.0
    query_length: Annotated[int, Field(ge=2)] = 512
    """Tokens a query, the anchor included."""
    document_length: Annotated[int, Field(ge=2)] = 512
    """Tokens a document, the anchor included."""
    tuning: TuningConfig = field(default_factory=TuningConfig)
    validate_every: PositiveInt | None = None
    """Steps between two measures of the held-out pairs (`data.validation`); a tenth of `steps` if empty.
    The last step is always measured."""
    keep: Literal["last", "best"] = "last"
    """Whether the stage leaves the weights after its last step, or those that had the lowest loss on the
    held-out pairs; of equal ones the earliest."""
    seed: Count | None = None
    """Seed of this stage; the variant's own when empty. A fixed one lets variants share the stage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One fully resolved configuration: everything that makes a variant what it is."""

    __pydantic_config__ = STRICT

    model: ModelConfig
    data: DataConfig
    prompts: PromptConfig = field(default_factory=PromptConfig)
    pretraining: ContrastiveConfig = field(default_factory=lambda: ContrastiveConfig(steps=0))
    """Optional stage 0: contrastive training on weak pairs, before the other two stages."""
    weak_data: DataConfig | None = None
    """The pairs of stage 0; those of `data` when empty."""
    reconstruction: ReconstructionConfig = field(default_factory=ReconstructionConfig)
    contrastive: ContrastiveConfig = field(default_factory=ContrastiveConfig)
    seed: Count = 0
    """Decides data order, dropout and initial adapters; paired between variants."""
