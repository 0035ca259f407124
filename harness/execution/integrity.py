"""Whether artifacts are still what they were when they were published.

Owns the checks of contents, and the notes in `checked/` that spare them. The rule: before a step reads
an artifact its files are as recorded: by SHA-256, or untouched (size, time and place on the disk) since
that was last seen to be so. What a disk corrupts in silence, only `damaged` finds.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import StoreError
from harness.execution.artifact_record import ArtifactRecord
from harness.execution.store import ArtifactStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """An artifact that is not what its record says."""

    stage: str
    name: str
    message: str


def check_used(store: ArtifactStore, stage: str, name: str) -> None:
    """Make sure that an artifact is there and whole, before it is read.

    Raises:
        StoreError: If it is missing, cut short or changed.
    """
    record = store.find(stage, name)
    if record is None:
        raise StoreError(f"{store.folder(stage, name)}: not there any more")
    store.fetch(stage, name)
    note = _note(store, name)
    now = _fingers(store.folder(stage, name), record)
    if note.is_file() and note.read_text(encoding="utf-8") == now:
        return
    store.check_copy(stage, name)
    mark_checked(store, stage, name, record=record)


def mark_checked(store: ArtifactStore, stage: str, name: str, *, record: ArtifactRecord) -> None:
    """Note that an artifact's files are as recorded now."""
    # A note that a full disk refuses costs a check and nothing else.
    with contextlib.suppress(OSError):
        note = _note(store, name)
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(_fingers(store.folder(stage, name), record), encoding="utf-8")


def damaged(store: ArtifactStore) -> Iterator[Damage | None]:
    """Read every file of every artifact; yield None for each whole one, for progress, or its damage."""
    for stage, name in store.names():
        try:
            store.check(stage, name)
            yield None
        except StoreError as error:
            yield Damage(stage=stage, name=name, message=error.message)


def discard_damaged(store: ArtifactStore, stage: str, name: str) -> None:
    """Remove an artifact if it is damaged, unless another process is making it anew."""
    lease = store.leases.acquire(name)
    if lease is None:
        return
    with lease:
        try:
            store.check(stage, name)
        except StoreError:
            store.discard(stage, name)


def _note(store: ArtifactStore, name: str) -> Path:
    return store.home / "checked" / name


def _fingers(folder: Path, record: ArtifactRecord) -> str:
    """Return what changes when a file is written to or replaced."""
    found = {}
    for file in sorted(record.files):
        stat = (folder / file).stat()
        found[file] = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
    return json.dumps(found)
