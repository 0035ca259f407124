"""Mirrors: folders that stand in for the hub, and what their manifests promise of the files in them.

Owns the layout (`<root>/<organisation>/<name>/` holds a repository's files, `<root>/manifest.json` says
at which revision, with every file's size and SHA-256) and the checks. The rule: a file that differs from
what a manifest promises is never read; a repository that no manifest names is taken as it is, since
people make mirrors by hand. A repository's own `manifest.json` with the SHA-256 of its files counts too.
Filling a mirror is left to `prefetch`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from harness.errors import DataError
from harness.identity import file_sha256
from harness.identity.replacing import replace_text

MANIFEST_NAME = "manifest.json"
PARTIAL = ".partial"
"""Folder of a mirror in which unfinished downloads lie."""

MODEL_FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
"""What is taken of a model on the hub: configuration, tokenizer and weights, never code or pickles."""

RepositoryKind = Literal["dataset", "model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """What a manifest promises of one file."""

    __pydantic_config__ = ConfigDict(extra="ignore")

    size: int
    """Bytes."""
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a manifest promises of one repository."""

    __pydantic_config__ = ConfigDict(extra="ignore")

    kind: RepositoryKind = "dataset"
    revision: str = ""
    """The revision that was asked for; empty where it is not known."""
    commit: str = ""
    """The commit that it stood for."""
    files: dict[str, FileEntry] = field(default_factory=dict)
    """Path relative to the repository -> what it holds."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """A repository of the hub that a plan reads."""

    kind: RepositoryKind
    name: str
    """`<organisation>/<name>`."""
    revision: str
    wanted_by: tuple[str, ...] = ()
    """Tasks or models that read it."""


_MANIFEST = TypeAdapter(dict[str, Entry], config=ConfigDict(defer_build=True))


def find_repository(name: str, roots: Sequence[Path]) -> tuple[Path, Path] | None:
    """Return the first root that has the repository, and its folder there; None if none has."""
    if not name or Path(name).is_absolute() or ".." in Path(name).parts:
        return None
    return next(((root, root / name) for root in roots if (root / name).is_dir()), None)


def read_manifest(root: Path) -> dict[str, Entry]:
    """Return the entries of a mirror's manifest; none where it has no manifest.

    Raises:
        DataError: If the manifest is there and cannot be read.
    """
    path = root / MANIFEST_NAME
    try:
        return _MANIFEST.validate_python(json.loads(path.read_bytes())["repositories"])
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise DataError(
            f"{path}: not the manifest of a mirror",
            cure="remove it and run the command that filled the mirror again: nothing is fetched twice",
        ) from error


def write_manifest(root: Path, entries: Mapping[str, Entry]) -> None:
    """Write a mirror's manifest; it is replaced as a whole."""
    plain = {"repositories": {name: asdict(entry) for name, entry in sorted(entries.items())}}
    replace_text(root / MANIFEST_NAME, json.dumps(plain, indent=1, sort_keys=True) + "\n")


def entry_of(root: Path, name: str) -> Entry | None:
    """Return what is promised of a repository: by the mirror's manifest, or by its own."""
    found = read_manifest(root).get(name)
    return found or _promised_by(own_manifest(root / name))


def own_manifest(folder: Path) -> dict[str, Any]:
    """Return what a repository's own manifest says; nothing where it has none that can be read."""
    try:
        said = json.loads((folder / MANIFEST_NAME).read_bytes())
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _promised_by(manifest: Mapping[str, Any]) -> Entry | None:
    """Return the files that a repository's own manifest promises, where it does."""
    try:
        files: dict[str, Any] = manifest["files"]
        return Entry(
            files={
                name: FileEntry(size=int(file["bytes"]), sha256=str(file["sha256"]))
                for name, file in files.items()
            }
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        # Any repository may hold a file of that name that means something else.
        return None


def faults(root: Path, name: str, *, contents: bool) -> Iterator[str]:
    """Yield what is wrong with a repository's files, against what is promised of them.

    Args:
        root: The mirror.
        name: `<organisation>/<name>`.
        contents: Whether hashes are compared too, and not only sizes. A file is hashed once as long
            as it is not touched.
    """
    entry = entry_of(root, name)
    for file, promised in (entry.files if entry else {}).items():
        path = root / name / file
        if not path.is_file():
            yield f"{file} is missing"
        elif path.stat().st_size != promised.size:
            yield f"{file} has {path.stat().st_size} bytes and not {promised.size}"
        elif contents and digest_of(path) != promised.sha256:
            yield f"{file} was changed: its SHA-256 is not the one in the manifest"


def check_repository(root: Path, name: str) -> None:
    """Refuse a repository that is not what a manifest says.

    Raises:
        DataError: Naming every file that is missing, cut short or changed.
    """
    found = list(faults(root, name, contents=True))
    if found:
        raise DataError(
            f"{root / name}: {'; '.join(found)}",
            cure=f"remove {root / name} and prefetch it again, or put the right files there",
        )


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, computed again only when it was touched."""
    status = path.stat()
    return _digest_once(path, status.st_size, status.st_mtime_ns)


@cache
def _digest_once(path: Path, size: int, changed: int) -> str:  # noqa: ARG001 - the cache's key
    return file_sha256(path)


def check_needs(needs: Sequence[Needed], roots: Sequence[Path], *, command: str) -> None:
    """Refuse mirrors that lack something, before anything runs.

    Presence, revision and sizes are looked at here; contents are when they are read.

    Args:
        needs: What will be read.
        roots: The mirrors; with none the hub is used and nothing is checked.
        command: What brings everything.

    Raises:
        DataError: Naming all that is missing at once.
    """
    if not roots:
        return
    lines = [f"  {need.name} ({need.kind}): {why}" for need in needs if (why := _lack(need, roots))]
    if lines:
        places = ", ".join(str(root) for root in roots)
        raise DataError(
            f"{len(lines)} of {len(needs)} repositories are not as needed in the mirror ({places}):\n"
            + "\n".join(lines),
            cure=f"where the hub can be reached: {command}",
        )


def _lack(need: Needed, roots: Sequence[Path]) -> str:
    """Return why a need is not met; empty when it is."""
    wanted = f" (for {_shortened(need.wanted_by)})" if need.wanted_by else ""
    found = find_repository(need.name, roots)
    if found is None:
        return f"missing{wanted}"
    root, _ = found
    entry = entry_of(root, need.name)
    if entry is not None and entry.revision and need.revision not in (entry.revision, entry.commit):
        return f"there at revision {entry.revision[:12]}, needed at {need.revision[:12]}{wanted}"
    wrong = list(faults(root, need.name, contents=False))
    return f"{'; '.join(wrong[:3])}{wanted}" if wrong else ""


def _shortened(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
