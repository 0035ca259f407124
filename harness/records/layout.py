"""Which model and revision a result file belongs to.

Owns the reading of folder names: `<model>/<revision>/<Task>.json` as mteb keeps its results, with or
without folders above, `<model>/<Task>.json` as it kept them once, and `experiments/<name>/` below a
revision. The rule: a file's place is told by its path alone, and the same file gets the same place
whichever folder above it the import starts from.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_HASH = re.compile(r"[0-9a-f]{40}")
_WORDS = frozenset({"external", "no_revision_available"})
_META = "model_meta.json"
_ROOT = "results"
"""Name of the folder that holds the models' folders in mteb's cache and results repository."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One result file and what its path says."""

    path: Path
    model: str
    revision: str
    """Empty where results are kept without one."""
    source: str
    """The path as records keep it: the import's name, the model, the revision and the file."""

    @property
    def task(self) -> str:
        """Return the task that the file is named after."""
        return _written(self.path.stem)


def find_places(folder: Path, *, name: str | None = None) -> list[Place]:
    """Return every JSON file below `folder` that may hold results, in order of their sources.

    Args:
        folder: A results folder, one above it, a model's folder or a revision's.
        name: What the import is called in the records; by default the folder above the models.
    """
    root = folder.resolve()
    places = [_place(path, root, name) for path in _json_files(root)]
    return sorted(places, key=lambda one: one.source)


def import_name(folder: Path) -> str:
    """Return what an import of `folder` is called by default: the folder above the models."""
    places = find_places(folder)
    return places[0].source.split("/")[0] if places else _name_of(folder.resolve())


def is_revision(folder: Path) -> bool:
    """Return whether a folder is named as a revision is, or holds a model's description."""
    return folder.name in _WORDS or bool(_HASH.fullmatch(folder.name)) or (folder / _META).is_file()


def _json_files(root: Path) -> Iterator[Path]:
    """Give the files below `root`, those of linked folders too, each once.

    Raises:
        OSError: If a folder cannot be listed.
    """
    seen: set[Path] = set()

    def is_new(path: Path) -> bool:
        target = path.resolve()
        # What lies below the root is found there itself, and a link may lead back above it.
        is_known = path.is_symlink() and (target.is_relative_to(root) or root.is_relative_to(target))
        if is_known or target in seen:
            return False
        seen.add(target)
        return True

    for parent, folders, files in os.walk(root, onerror=_raise, followlinks=True):
        folders[:] = sorted(
            one for one in folders if not one.startswith(".") and is_new(Path(parent, one))
        )
        for file in files:
            if file.endswith(".json") and file != _META and not file.startswith("."):
                yield Path(parent, file)


def _raise(error: OSError) -> None:
    raise error


def _written(name: str) -> str:
    """Return a path as text: bytes of it that are no UTF-8 are written out."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _place(path: Path, root: Path, name: str | None) -> Place:
    folder, experiment = path.parent, ""
    if folder.parent.name == "experiments":
        folder, experiment = folder.parent.parent, folder.name
    has_revision = _depth(folder, root) >= 2 or is_revision(folder)
    model = folder.parent if has_revision else folder
    revision = folder.name if has_revision else ""
    if experiment:
        revision = f"{revision}/{experiment}"
    top = model.parent
    named = name or _name_of(root if _depth(top, root) > 0 else top)
    above = _above(top, root)
    parts = [named, *above, model.name, revision, path.name]
    return Place(
        path=path,
        model=_written(model.name),
        revision=_written(revision),
        source=_written("/".join(part for part in parts if part)),
    )


def _depth(folder: Path, root: Path) -> int:
    """Return how many folders below `root` a folder is; 0 for `root` itself and those above it."""
    return len(folder.parts) - len(root.parts) if folder.is_relative_to(root) else 0


def _above(top: Path, root: Path) -> list[str]:
    """Return the folders between the root and those of the models."""
    if not top.is_relative_to(root):
        return []
    return [part for part in top.relative_to(root).parts if part != _ROOT]


def _name_of(folder: Path) -> str:
    return folder.parent.name if folder.name == _ROOT else folder.name
