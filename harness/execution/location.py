"""Where a store keeps what all of its users see: the one seam between a folder and other media.

Owns `Location`, the little that runs, plans, journal and leases ask of a medium, and `Folder`. The rule:
a name stands for one small file, which is there whole or not at all, and whoever writes it is seen by
everybody else at once. What the files mean is for the modules that write them to say.
"""

from __future__ import annotations

import os
from collections.abc import Hashable
from pathlib import Path
from typing import Protocol

from harness.execution.journal import FileLog, Log
from harness.execution.marks import FolderMarks, Marks


class Location(Protocol):
    """Files by name, `/` between the parts of a name."""

    def read(self, name: str) -> bytes | None:
        """Return a file's content; None if it is not there."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file, in the place of one that was there."""

    def has(self, name: str) -> bool:
        """Return whether a file is there."""

    def version(self, name: str) -> Hashable:
        """Return what is another whenever a file is replaced; None if it is not there."""

    def remove(self, name: str) -> None:
        """Take a file away, if it is there."""

    def names(self, pattern: str) -> list[str]:
        """Return the names that match a pattern, sorted; `*` stands for anything but `/`."""

    def log(self, name: str) -> Log:
        """Return lines that are only ever appended."""

    def marks(self) -> Marks:
        """Return the leases that are kept here."""

    def below(self, name: str) -> Location:
        """Return the part of this location whose names begin with `name` and `/`."""

    def describe(self, name: str = "") -> str:
        """Return where a file is, for people."""


class Folder:
    """A folder of the file system, which may be shared by machines.

    Args:
        path: The folder; made when something is first written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, name: str) -> bytes | None:
        """Return a file's content; None if it is not there."""
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Write a file, in the place of one that was there."""
        path = self._path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        temporary.write_bytes(content)
        temporary.replace(path)

    def has(self, name: str) -> bool:
        """Return whether a file is there."""
        return (self._path / name).exists()

    def version(self, name: str) -> Hashable:
        """Return what is another whenever a file is replaced; None if it is not there."""
        try:
            stat = (self._path / name).stat()
        except FileNotFoundError:
            return None
        return stat.st_ino, stat.st_mtime_ns

    def remove(self, name: str) -> None:
        """Take a file away, if it is there."""
        (self._path / name).unlink(missing_ok=True)

    def names(self, pattern: str) -> list[str]:
        """Return the names that match a pattern, sorted; `*` stands for anything but `/`."""
        return sorted(path.relative_to(self._path).as_posix() for path in self._path.glob(pattern))

    def log(self, name: str) -> Log:
        """Return lines that are only ever appended."""
        return FileLog(self._path / name)

    def marks(self) -> Marks:
        """Return the leases that are kept here."""
        return FolderMarks(self._path)

    def below(self, name: str) -> Location:
        """Return the part of this location whose names begin with `name` and `/`."""
        return Folder(self._path / name)

    def describe(self, name: str = "") -> str:
        """Return where a file is, for people."""
        return str(self._path / name)


def located(place: Path | Location) -> Location:
    """Return a location; a path is a folder's."""
    return Folder(place) if isinstance(place, Path) else place
