"""What can be known to be wrong with a study's training sources before anything runs.

Owns the checks of `sources:` that span several fields, and which sources a study uses. The rule: one
message with file, line, field, what is allowed and the cure. Pair sets' content is checked when they are
read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib import metadata

from harness.errors import did_you_mean
from harness.study.document import StudyDocument
from harness.study.source_text import FieldPath, SourceText
from harness.study.sources import (
    BbcSource,
    CatalogueSource,
    DocstringsSource,
    FilesSource,
    MixtureSource,
    Source,
)
from harness.study.training_sets import known_sources, pair_sets, parts_of, training_sets, with_parts
from harness.study.variants import Variant

STDLIB = "stdlib"
"""Name by which a source of docstrings means Python's own library."""


def check_sources(document: StudyDocument, source: SourceText) -> None:
    """Refuse sources that contradict themselves or name what is not there.

    Raises:
        StudyError: With file, line, field and cure.
    """
    known = known_sources(document.sources)
    for name, data in document.sources.items():
        where: FieldPath = ("sources", name)
        _check_source(data, where, source)
        _check_parts(name, data, known, where, source)
        if data.clean is not None and data.clean.max_characters is not None:
            _check_order(data.clean.min_characters, data.clean.max_characters, where, source)
        if data.mine is not None:
            _check_mining(data, document, where, source)


def _check_source(data: Source, where: FieldPath, source: SourceText) -> None:
    if isinstance(data, BbcSource) and (data.wheel is None) == (data.path is None):
        raise source.error(where, "needs exactly one of wheel and path")
    if isinstance(data, BbcSource | FilesSource) and data.path is not None:
        check_exists(data.path, (*where, "path"), source)
    if isinstance(data, CatalogueSource):
        check_known(data.name, training_sets(), "training set", (*where, "name"), source)
        if training_sets()[data.name].revision is None and data.revision is None:
            raise source.error(
                where,
                f"needs the `revision` of {training_sets()[data.name].hub}",
                cure="take the newest commit on its page",
            )
    if isinstance(data, DocstringsSource):
        for index, package in enumerate(data.packages):
            if package != STDLIB and not _is_installed(package):
                raise source.error(
                    (*where, "packages", index),
                    f"the package {package!r} is not installed",
                    cure=f"pip install {package}; `{STDLIB}` means Python's own library",
                )


def _is_installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def _check_parts(
    name: str, data: Source, known: dict[str, Source], where: FieldPath, source: SourceText
) -> None:
    if not isinstance(data, MixtureSource):
        return
    for (part, pairs, _), key in zip(parts_of(data), data.parts, strict=True):
        place = (*where, "parts", key)
        check_known(part, known, "source", place, source)
        check_known(pairs, pair_sets(known[part]), "pair set", place, source)
    try:
        with_parts([name], known)
    except ValueError as error:
        raise source.error((*where, "parts"), f"the mixture is a part of itself: {error}") from None


def _check_order(least: int, most: int, where: FieldPath, source: SourceText) -> None:
    if least > most:
        raise source.error(
            (*where, "clean"), f"min_characters {least} is more than max_characters {most}"
        )


def _check_mining(data: Source, document: StudyDocument, where: FieldPath, source: SourceText) -> None:
    mine = data.mine
    if mine is None:
        return
    if (mine.method == "dense") != (mine.base is not None):
        raise source.error(
            (*where, "mine"), "`base` names the embedder of `method: dense`, and goes with it alone"
        )
    if mine.base is not None:
        check_known(mine.base, document.bases, "base", (*where, "mine", "base"), source)
    if mine.skip + mine.num_negatives > mine.depth:
        raise source.error(
            (*where, "mine"),
            f"depth {mine.depth} leaves no {mine.num_negatives} negatives after the first {mine.skip}",
        )


def check_revisions(name: str, known: dict[str, Source], where: FieldPath, source: SourceText) -> None:
    """Refuse a source that is, or has as a part, a set of the catalogue of which no commit is known.

    Raises:
        StudyError: With what to add to the study.
    """
    for part, data in with_parts([name], known).items():
        if isinstance(data, CatalogueSource) and not (
            data.revision or training_sets()[data.name].revision
        ):
            hub = training_sets()[data.name].hub
            raise source.error(
                where,
                f"the catalogue names no revision of {hub} ({part})",
                cure=f"add to `sources`: {part}: {{kind: catalogue, name: {data.name},"
                " revision: COMMIT}, with the newest commit on its page",
            )


def used_sources(document: StudyDocument, variants: Iterable[Variant]) -> dict[str, Source]:
    """Return a study's own sources and those of the catalogue that its variants train on."""
    known = known_sources(document.sources)
    recipes = [recipe for variant in variants for recipe in variant.recipes]
    named = {data.source for recipe in recipes for data in (recipe.data, recipe.weak_data) if data}
    return with_parts([*document.sources, *sorted(named)], known)


def check_exists(path: str, where: FieldPath, source: SourceText) -> None:
    """Refuse a path, relative to the study file, at which nothing lies.

    Raises:
        StudyError: With the path in full.
    """
    full = source.path.parent / path
    # Unlike Path.exists, this takes names that no file can have for names of no file.
    if not os.path.exists(full):  # noqa: PTH110
        raise source.error(
            where,
            f"no such file or folder: {str(full)[:200]}",
            cure="paths are relative to the study file",
        )


def check_known(
    name: str,
    known: Iterable[str],
    kind: str,
    where: FieldPath,
    source: SourceText,
    *,
    list_all: bool = True,
) -> None:
    """Refuse a name that is not among those that are known.

    Raises:
        StudyError: With the closest name there is.
    """
    names = list(known)
    if name not in names:
        listed = f"; there are: {', '.join(names)}" if list_all else ""
        raise source.error(where, f"no {kind} {name!r}{listed}.{did_you_mean(name, names)}")
