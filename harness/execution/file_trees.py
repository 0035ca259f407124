"""What lies below a folder: digests and sizes of its files, and that they are on the disk.

Owns the reading of whole folders. What they mean is for the store to say.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.identity import file_sha256

_MOST_SYNCS = 8


def describe_files(folder: Path) -> tuple[dict[str, str], dict[str, int]]:
    """Return the SHA-256 and the size in bytes of every file below `folder`, by relative path."""
    digests, sizes = {}, {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            digests[name] = file_sha256(path)
            sizes[name] = path.stat().st_size
    return digests, sizes


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder, each once however many names it has there."""
    seen = {}
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            stat = path.lstat()
            if path.is_file():
                seen[stat.st_ino] = stat.st_size
    return sum(seen.values())


def sync(path: Path) -> None:
    """Make sure that a file, or what a folder lists, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_all(paths: Sequence[Path]) -> None:
    """Sync several at once: a file system with a journal then writes that once for all of them."""
    with ThreadPoolExecutor(min(len(paths), _MOST_SYNCS)) as pool:
        list(pool.map(sync, paths))
