"""Training sets and mixtures that a study may use without defining them.

Owns the reading of `training_catalogue.yaml` and what a name in a study means: one of the study's own
sources, else one of the catalogue's sets, else one of its mixtures. The rule: the study's own come
first, so that a local copy can take the place of any part of a paper's mixture.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources

import yaml
from pydantic import TypeAdapter

from harness.study import catalogue
from harness.study.recipe import STRICT
from harness.study.sources import CatalogueSource, MixtureSource, Source

DEFAULT_PAIRS = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSet:
    """A public training set: where it lies and what is known of it."""

    __pydantic_config__ = STRICT

    hub: str
    """Dataset repository on the Hugging Face hub."""
    revision: str | None = None
    """Commit that is read; a study must name one where the catalogue has none."""
    configs: tuple[str, ...] = ("default",)
    """Names or patterns of the repository's configurations."""
    splits: tuple[str, ...] = ("train",)
    """Names or patterns of the splits."""
    columns: dict[str, str] = field(default_factory=dict)
    """Field -> column, where the names are not among those that are known."""
    instructions: tuple[str, ...] = ()
    """What a query is asked for; of several, each query gets one by its hash."""
    licence: str
    languages: tuple[str, ...]
    """ISO 639-1."""
    pairs: int | None = None
    """Size that the repository's page prints; None where it is not known before it is here."""
    sampled: float = 1.0
    """Share of the original set that the repository's copy holds."""
    in_domain: tuple[str, ...] = ()
    """Patterns of the tasks that are made from the same data."""

    def tasks_in_domain(self) -> tuple[str, ...]:
        """Return the known tasks that are made from the same data, translations included."""
        return tuple(
            task
            for task in sorted(catalogue.task_types())
            if any(fnmatchcase(task, pattern) for pattern in self.in_domain)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Catalogue:
    __pydantic_config__ = STRICT

    sets: dict[str, TrainingSet]
    mixtures: dict[str, dict[str, float]]


@cache
def _catalogue() -> _Catalogue:
    text = resources.files("harness.study").joinpath("training_catalogue.yaml").read_text("utf-8")
    return TypeAdapter(_Catalogue).validate_python(yaml.safe_load(text))


def training_sets() -> Mapping[str, TrainingSet]:
    """Return the public training sets by name."""
    return _catalogue().sets


def training_mixtures() -> Mapping[str, Mapping[str, float]]:
    """Return the papers' mixtures: name -> set -> share that is sampled."""
    return _catalogue().mixtures


def known_sources(own: Mapping[str, Source]) -> dict[str, Source]:
    """Return every source that a study with sources of its own can name."""
    sets: dict[str, Source] = {
        name: CatalogueSource(kind="catalogue", name=name) for name in training_sets()
    }
    mixtures: dict[str, Source] = {
        name: MixtureSource(
            kind="mixture", parts={part: _share(part, share, own) for part, share in parts.items()}
        )
        for name, parts in training_mixtures().items()
    }
    return {**mixtures, **sets, **own}


def _share(part: str, share: float, own: Mapping[str, Source]) -> float:
    """Return what a paper's share of an original set is of the copy that is read."""
    entry = training_sets().get(part)
    is_copy = entry is not None and (part not in own or isinstance(own[part], CatalogueSource))
    return min(1.0, share / entry.sampled) if entry is not None and is_copy else share


def parts_of(source: Source) -> list[tuple[str, str, float]]:
    """Return (source, pair set, share) of a mixture's parts, in order; none of anything else."""
    if not isinstance(source, MixtureSource):
        return []
    found = []
    for part, share in source.parts.items():
        name, _, pairs = part.partition("/")
        found.append((name, pairs or DEFAULT_PAIRS, share))
    return found


def with_parts(names: Iterable[str], known: Mapping[str, Source]) -> dict[str, Source]:
    """Return the named sources and all that they are made of.

    Raises:
        ValueError: When a mixture contains itself.
    """
    found: dict[str, Source] = {}

    def add(name: str, within: tuple[str, ...]) -> None:
        if name in within:
            raise ValueError(" in ".join((*within, name)))
        if name not in found and name in known:
            for part, _, _ in parts_of(known[name]):
                add(part, (*within, name))
            found[name] = known[name]

    for name in names:
        add(name, ())
    return found


def pair_sets(source: Source) -> tuple[str, ...]:
    """Return the names of a source's pair sets."""
    return catalogue.BBC_PAIRS if source.kind == "bbc" else (DEFAULT_PAIRS,)


def declared_in_domain(name: str, known: Mapping[str, Source]) -> tuple[str, ...] | None:
    """Return the tasks that a source says are of its own kind; None where some part does not say."""
    source = known[name]
    if isinstance(source, CatalogueSource):
        return training_sets()[source.name].tasks_in_domain()
    if isinstance(source, MixtureSource):
        stated = [declared_in_domain(part, known) for part, _, _ in parts_of(source)]
        told = [tasks for tasks in stated if tasks is not None]
        if len(told) < len(stated):
            return None
        return tuple(sorted({task for tasks in told for task in tasks}))
    return source.in_domain
