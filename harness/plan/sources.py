"""The steps that make training pairs.

Owns what of a source is its identity, and the order of the steps between a source and training: made,
cleaned, mined, and mixed with others that were. The rule: content and settings are identity; where data
lie, what people say of them and what the study calls them are not.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

from harness.errors import StudyError
from harness.identity.canonical import to_plain
from harness.plan.graph import Step
from harness.study import Study
from harness.study.recipe import ModelConfig, PromptConfig
from harness.study.source_checks import STDLIB
from harness.study.sources import (
    BbcSource,
    CatalogueSource,
    DocstringsSource,
    FilesSource,
    Mining,
    MixtureSource,
    Wheel,
)
from harness.study.training_sets import parts_of, training_sets

_APART = {"wheel", "path", "in_domain", "clean", "mine"}
_READ = ("hub", "configs", "splits", "columns", "instructions")
"""What of a catalogue entry decides the pairs."""


class MakeStep(Protocol):
    """Makes a step of a stage, or returns the one that is equal."""

    def __call__(
        self,
        stage: str,
        config: dict[str, Any],
        *,
        label: str,
        inputs: Mapping[str, Step] | None = None,
        bindings: Mapping[str, str] | None = None,
    ) -> Step:
        """Return the step, as `make_step` does."""


class SourceSteps:
    """Makes the steps of a study's sources.

    Args:
        study: What names are looked up in.
        make: Makes a step.
        wheel: Makes the step that fetches a package.
        sha256: Hashes a file or folder.
        base: Makes the step of a base checkpoint.
    """

    def __init__(
        self,
        study: Study,
        *,
        make: MakeStep,
        wheel: Callable[[Wheel], Step],
        sha256: Callable[[Path], str],
        base: Callable[[ModelConfig, PromptConfig], Step],
    ) -> None:
        self._study = study
        self._make, self._wheel, self._sha256, self._base = make, wheel, sha256, base
        self._sources: dict[str, Step] = {}

    def make_training(self, name: str, pairs: str) -> Step:
        """Return what makes a pair set ready for training: its source, cleaned and mined as asked."""
        source = self._study.sources[name]
        step = self._mixture(name, source) if isinstance(source, MixtureSource) else self.make(name)
        if source.clean is not None:
            config = {"pairs": pairs, "cleaning": to_plain(source.clean)}
            step = self._make("clean", config, label=name, inputs={"source": step})
        if source.mine is not None:
            step = self._mined(name, pairs, step, source.mine)
        return step

    def make(self, name: str) -> Step:
        """Return the step that makes a source as it is, before cleaning and mining; no mixture's.

        Raises:
            StudyError: When a set of the catalogue has no revision.
        """
        if name not in self._sources:
            self._sources[name] = self._source(name)
        return self._sources[name]

    def _source(self, name: str) -> Step:
        source = self._study.sources[name]
        if isinstance(source, MixtureSource):
            raise TypeError(f"{name} is a mixture, and has no step of its own")
        if isinstance(source, CatalogueSource):
            return self._make("source", _catalogue_config(name, source), label=name)
        if isinstance(source, DocstringsSource):
            config = {"kind": source.kind, "packages": {one: _version(one) for one in source.packages}}
            return self._make("source", config, label=name)
        config = {key: value for key, value in to_plain(source).items() if key not in _APART}
        if isinstance(source, BbcSource) and source.wheel is not None:
            return self._make("source", config, label=name, inputs={"wheel": self._wheel(source.wheel)})
        path = self._study.resolve_path(source.path or "")
        config["sha256"] = self._sha256(path)
        if isinstance(source, FilesSource) and path.is_file():
            # A file's name says how it is read; the names in a folder are a part of its hash.
            config["suffixes"] = "".join(path.suffixes[-2:])
        return self._make("source", config, label=name, bindings={"path": str(path)})

    def _mined(self, name: str, pairs: str, step: Step, mine: Mining) -> Step:
        mining, inputs = to_plain(mine), {"source": step}
        if mine.base is not None:
            # Who ranks is said by the input.
            inputs["model"] = self._base(
                ModelConfig(base=mine.base, pooling=mine.pooling), PromptConfig()
            )
        del mining["base"], mining["pooling"]
        return self._make("mine", {"pairs": pairs, "mining": mining}, label=name, inputs=inputs)

    def _mixture(self, name: str, mixture: MixtureSource) -> Step:
        parts = parts_of(mixture)
        config = {
            "parts": [{"name": part, "pairs": pairs, "share": share} for part, pairs, share in parts],
            "seed": mixture.seed,
        }
        inputs = {
            f"part{number}": self.make_training(part, pairs)
            for number, (part, pairs, _) in enumerate(parts)
        }
        return self._make("mix", config, label=name, inputs=inputs)


def _catalogue_config(name: str, source: CatalogueSource) -> dict[str, Any]:
    entry = training_sets()[source.name]
    revision = source.revision or entry.revision
    if revision is None:
        raise StudyError(
            f"training set {source.name}: the catalogue names no revision of {entry.hub}",
            cure=f"Add to `sources`: {name}: {{kind: catalogue, name: {source.name},"
            " revision: COMMIT}.",
        )
    plain = to_plain(entry)
    return {
        "kind": source.kind,
        "name": source.name,
        "set": {**{key: plain[key] for key in _READ}, "revision": revision},
    }


def _version(package: str) -> str:
    return platform.python_version() if package == STDLIB else metadata.version(package)
