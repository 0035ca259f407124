"""The files behind leases, on a folder, and what any other medium must do as well.

Owns `Marks`, the few things that a lease asks of where it is kept, and `FolderMarks`. The rule: a mark
comes to be by one atomic creation, which succeeds for one process alone, and its beat changes as long as
its holder moves it. What a mark means is for `leases` to say.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One lease, as it is kept."""

    generation: int
    head: bytes
    """What its holder wrote when it took it."""
    beat: bytes
    """Another after each move."""
    moved: float
    """When it was moved last, in seconds since 1970 by the medium's clock: for people alone."""


class Marks(Protocol):
    """Where leases are kept: by name and generation."""

    def all(self) -> dict[str, Mark]:
        """Return name -> its mark of the highest generation."""

    def find(self, name: str) -> Mark | None:
        """Return the mark of the highest generation of a name."""

    def newest(self, name: str) -> int | None:
        """Return the highest generation of a name."""

    def has(self, name: str, generation: int) -> bool:
        """Return whether there is a mark."""

    def create(self, name: str, generation: int, head: bytes) -> bool:
        """Make a mark, in one step; return False if it is there already.

        Args:
            name: Of the step or run.
            generation: Counted from 1.
            head: One line, without its end.
        """

    def move(self, name: str, generation: int, count: int) -> None:
        """Change a mark's beat.

        Raises:
            FileNotFoundError: If the mark is gone.
        """

    def remove(self, name: str, generation: int) -> None:
        """Take a mark away, if it is there."""


class FolderMarks:
    """Marks as files `<name>.<generation>`, which hard links create and a counter in place moves.

    Args:
        folder: Where they are; made with the first.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def all(self) -> dict[str, Mark]:
        """Return name -> its mark of the highest generation."""
        found = {name: self._read(path) for name, path in self._generations().items()}
        return {name: mark for name, mark in found.items() if mark is not None}

    def find(self, name: str) -> Mark | None:
        """Return the mark of the highest generation of a name."""
        path = self._generations().get(name)
        return None if path is None else self._read(path)

    def newest(self, name: str) -> int | None:
        """Return the highest generation of a name."""
        path = self._generations().get(name)
        return None if path is None else _generation(path)

    def has(self, name: str, generation: int) -> bool:
        """Return whether there is a mark."""
        return self._path(name, generation).exists()

    def create(self, name: str, generation: int, head: bytes) -> bool:
        """Make a mark, in one step; return False if it is there already."""
        self._folder.mkdir(parents=True, exist_ok=True)
        scratch = self._folder / f".{secrets.token_hex(8)}"
        return _create_whole(self._path(name, generation), head + b"\n" + _counter(0), scratch)

    def move(self, name: str, generation: int, count: int) -> None:
        """Change a mark's beat.

        Raises:
            FileNotFoundError: If the mark is gone.
        """
        path = self._path(name, generation)
        try:
            _write_counter(path, count)
        except FileNotFoundError:
            raise
        except OSError:
            # A full disk may refuse to write even in place; a time stamp takes no space.
            os.utime(path)

    def remove(self, name: str, generation: int) -> None:
        """Take a mark away, if it is there."""
        self._path(name, generation).unlink(missing_ok=True)

    def _path(self, name: str, generation: int) -> Path:
        return self._folder / f"{name}.{generation}"

    def _generations(self) -> dict[str, Path]:
        """Return name -> its file of the highest generation."""
        newest: dict[str, tuple[int, Path]] = {}
        with contextlib.suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            for entry in entries:
                name, _, generation = entry.name.rpartition(".")
                if name and generation.isdigit():
                    found = (int(generation), Path(entry.path))
                    newest[name] = max(newest.get(name, found), found)
        return {name: path for name, (_, path) in newest.items()}

    def _read(self, path: Path) -> Mark | None:
        try:
            # Opened anew each time: on NFS that is when others' writing is seen.
            with path.open("rb") as file:
                head, _, counter = file.read().partition(b"\n")
                touched = os.fstat(file.fileno()).st_mtime_ns
        except FileNotFoundError:
            return None
        beat = head + counter + str(touched).encode()
        return Mark(generation=_generation(path), head=head, beat=beat, moved=touched / 1e9)


def _generation(path: Path) -> int:
    return int(path.name.rpartition(".")[2])


def _counter(count: int) -> bytes:
    return b"%020d\n" % count


def _write_counter(path: Path, count: int) -> None:
    counter = _counter(count)
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.pwrite(descriptor, counter, os.fstat(descriptor).st_size - len(counter))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _create_whole(path: Path, content: bytes, scratch: Path) -> bool:
    """Create a file with its content in one step; return False if it is there already."""
    with _written(scratch, content):
        try:
            os.link(scratch, path)
        except FileExistsError:
            # The answer to a link that was made may be lost on the way; the count of names is not.
            return scratch.stat().st_nlink == 2
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return _create_exclusively(path, content)
    return True


def _create_exclusively(path: Path, content: bytes) -> bool:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return True


@contextlib.contextmanager
def _written(path: Path, content: bytes) -> Iterator[None]:
    path.write_bytes(content)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
