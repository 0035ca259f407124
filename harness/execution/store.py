"""The artifact store: finished steps by fingerprint, each whole or not at all.

Owns the folder layout of `$HARNESS_HOME` and the one way in which an artifact comes to be: work in a
partial folder, fsync, write the record last, rename. The rule: what has a record is complete, its
record says what it was made from, field by field, and what its files' bytes are, and nobody replaces it
while it is whole.

    artifacts/<stage>/<fingerprint>/    files of the artifact, and artifact.json
    partial/<fingerprint>/              checkpoints of a step in flight
    partial/<fingerprint>-<token>/      its output, under one lease
    leases/<fingerprint>.<generation>   whose step in flight it is
    logs/<stage>-<fingerprint>.log      what a step said
    cache/                              embeddings that evaluation steps share
    tracking/<stage>-<fingerprint>/     files of trackers, where a study asks for some; a short name
    studies/<name>/                     records and summary of a study, and its plan in brief
    runs/                               runs under way, and what is asked of them
    checked/<fingerprint>               how an artifact's files were when they were last read whole
    journal.jsonl                       what happened when
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from harness.errors import StoreError
from harness.execution.leases import Leases
from harness.identity import file_sha256, fingerprint

RECORD_NAME = "artifact.json"
_MOST_SYNCS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRecord:
    """What lies beside an artifact: its identity, its making and its files."""

    __pydantic_config__ = ConfigDict(extra="forbid", defer_build=True)

    fingerprint: str
    payload: dict[str, Any]
    """Stage, version, configuration and inputs: what the fingerprint is the hash of."""
    files: dict[str, str]
    """Relative path -> SHA-256."""
    sizes: dict[str, int]
    """Relative path -> bytes."""
    versions: dict[str, str]
    """Package versions at the time."""
    machine: dict[str, str | int]
    wall_seconds: float
    finished: str
    """UTC time, ISO 8601."""


_RECORD = TypeAdapter(ArtifactRecord)


def default_home() -> Path:
    """Return the store's folder: `$HARNESS_HOME`, or `.harness` in the current folder."""
    return Path(os.environ.get("HARNESS_HOME") or ".harness").absolute()


class ArtifactStore:
    """Finished steps on a file system.

    Args:
        home: The store's folder; made when something is first written.

    Raises:
        StoreError: If it is the URL of something that is no folder.
    """

    def __init__(self, home: Path) -> None:
        if home.parts and home.parts[0].endswith(":"):
            raise StoreError(
                f"{home}: a store must be a folder, not a URL",
                cure="use a folder that all machines see (NFS, Lustre, EFS, FSx); a bucket mounted as a "
                "folder lacks the atomic links, renames and writes in place that leases need",
            )
        self.home = home.absolute()
        self.leases = Leases(self.home / "leases")

    def check_access(self) -> None:
        """Make sure that this user may write here, and that not everybody may.

        Raises:
            StoreError: If not. What a step reads from the store decides results, and who can write to
                it decides what is read.
        """
        for path in (self.home, self.home / "artifacts"):
            if not path.exists():
                continue
            stat = path.stat()
            if stat.st_mode & 0o002:
                raise StoreError(
                    f"{path} can be written to by every user", cure=f"its owner runs: chmod o-w {path}"
                )
            if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
                raise StoreError(
                    f"{path} belongs to user {stat.st_uid}; user {os.getuid()} may not write to it",
                    cure="share it through a group (chmod g+rwxs), or take another folder with --home",
                )

    def folder(self, stage: str, name: str) -> Path:
        """Return where the artifact of a step is or would be."""
        return self.home / "artifacts" / stage / name

    def log_file(self, stage: str, name: str) -> Path:
        """Return the log file of a step."""
        return self.home / "logs" / f"{stage}-{name}.log"

    def tracking_folder(self, stage: str, name: str) -> Path:
        """Return where the trackers of a step keep their files; its name is the name of their runs."""
        return self.home / "tracking" / f"{stage}-{name[:12]}"

    def study_folder(self, study: str) -> Path:
        """Return where the records of a study are kept."""
        return self.home / "studies" / study

    def touched(self, stages: Iterable[str]) -> set[str]:
        """Return the fingerprints that have an artifact of one of `stages`, whole or not."""
        found: set[str] = set()
        for stage in stages:
            with contextlib.suppress(FileNotFoundError):
                found.update(os.listdir(self.home / "artifacts" / stage))  # noqa: PTH208
        return found

    def find(self, stage: str, name: str) -> ArtifactRecord | None:
        """Return the record of a finished step, or None.

        File sizes are compared; contents are not (see `check`).

        Raises:
            StoreError: If the artifact is there but damaged.
        """
        folder = self.folder(stage, name)
        try:
            record = _RECORD.validate_json((folder / RECORD_NAME).read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise StoreError(
                f"{folder / RECORD_NAME}: not an artifact record", cure=_rebuild_cure(folder)
            ) from error
        if record.fingerprint != name or fingerprint(record.payload) != name:
            raise StoreError(
                f"{folder}: the record belongs to another configuration", cure=_rebuild_cure(folder)
            )
        for file, size in record.sizes.items():
            path = folder / file
            if not path.is_file() or path.stat().st_size != size:
                raise StoreError(f"{path}: missing or cut short", cure=_rebuild_cure(folder))
        return record

    def has(self, stage: str, name: str) -> bool:
        """Return whether the artifact is there and whole; a damaged one is to be made anew."""
        try:
            return self.find(stage, name) is not None
        except StoreError:
            return False

    def check(self, stage: str, name: str) -> None:
        """Compare every file of an artifact with its recorded SHA-256.

        Raises:
            StoreError: Naming the first file that differs.
        """
        record = self.find(stage, name)
        folder = self.folder(stage, name)
        for file, digest in (record.files if record else {}).items():
            if file_sha256(folder / file) != digest:
                raise StoreError(f"{folder / file}: content changed", cure=_rebuild_cure(folder))

    def names(self) -> list[tuple[str, str]]:
        """Return stage and fingerprint of every artifact, whole or not."""
        return sorted((path.parent.name, path.name) for path in (self.home / "artifacts").glob("*/*"))

    def partial(self, name: str, token: str) -> tuple[Path, Path]:
        """Return the fresh output folder and the surviving scratch folder of a step.

        Args:
            name: Fingerprint of the step.
            token: Of the lease under which it runs. What is left of other leases' output is removed: who
                holds none any more must not write into a successor's.
        """
        scratch = self.home / "partial" / name
        scratch.mkdir(parents=True, exist_ok=True)
        for left in os.listdir(scratch.parent):  # noqa: PTH208
            if left.startswith(f"{name}-"):
                shutil.rmtree(scratch.with_name(left), ignore_errors=True)
        output = scratch.with_name(f"{name}-{token}")
        output.mkdir()
        return output, scratch

    def publish(self, record: ArtifactRecord, output: Path) -> Path:
        """Make `output` the artifact of `record` and return its folder.

        The caller holds the step's lease. After a kill at any instant the artifact is there whole or
        not at all; one that is there and whole already stays.
        """
        text = json.dumps(asdict(record), indent=1, sort_keys=True, ensure_ascii=False)
        (output / RECORD_NAME).write_text(text + "\n", encoding="utf-8")
        _sync_all([*(output / file for file in record.files), output / RECORD_NAME, output])
        stage = record.payload["stage"]
        folder = self.folder(stage, record.fingerprint)
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            # Refused by the system where a folder that is not empty has the name.
            output.rename(folder)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
            if not self.has(stage, record.fingerprint):
                self.discard(stage, record.fingerprint)
                output.rename(folder)
        _sync(folder.parent)
        shutil.rmtree(output, ignore_errors=True)
        shutil.rmtree(self.home / "partial" / record.fingerprint, ignore_errors=True)
        return folder

    def discard(self, stage: str, name: str) -> None:
        """Remove an artifact: in one instant from sight, then from the disk."""
        away = self.home / "partial" / f"{name}-{secrets.token_hex(4)}"
        away.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self.folder(stage, name).rename(away)
        shutil.rmtree(away, ignore_errors=True)


def describe_files(folder: Path) -> tuple[dict[str, str], dict[str, int]]:
    """Return the SHA-256 and the size in bytes of every file below `folder`, by relative path."""
    digests, sizes = {}, {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            digests[name] = file_sha256(path)
            sizes[name] = path.stat().st_size
    return digests, sizes


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_all(paths: Sequence[Path]) -> None:
    """Sync several at once: a file system with a journal then writes that once for all of them."""
    with ThreadPoolExecutor(min(len(paths), _MOST_SYNCS)) as pool:
        list(pool.map(_sync, paths))


def _rebuild_cure(folder: Path) -> str:
    return f"remove {folder} and run the study again"
