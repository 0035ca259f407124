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
import os
import secrets
import shutil
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from harness.errors import StoreError
from harness.execution.artifact_record import RECORD_NAME, ArtifactRecord, read_record, write_record
from harness.execution.file_trees import size_of, sync
from harness.execution.leases import Lease, Leases
from harness.execution.location import Folder, Location
from harness.identity import file_sha256


class ArtifactStore:
    """Finished steps on a file system.

    Args:
        home: The store's folder; made when something is first written.
        location: Where all users of the store see its small files; in that folder when None.
    """

    def __init__(self, home: Path, *, location: Location | None = None) -> None:
        self.home = home.absolute()
        self.location = location or Folder(self.home)
        self.leases = Leases(self.location.below("leases").marks())

    @property
    def address(self) -> str:
        """What opens this store in another process."""
        return str(self.home)

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
        text = self.record_text(stage, name)
        if text is None:
            return None
        folder = self.folder(stage, name)
        record = read_record(text, name, place=str(folder), cure=_rebuild_cure(folder))
        for file, size in record.sizes.items():
            path = folder / file
            if not path.is_file() or path.stat().st_size != size:
                raise StoreError(f"{path}: missing or cut short", cure=_rebuild_cure(folder))
        return record

    def record_text(self, stage: str, name: str) -> bytes | None:
        """Return the record of an artifact as it was written; None where there is none."""
        try:
            return (self.folder(stage, name) / RECORD_NAME).read_bytes()
        except FileNotFoundError:
            return None

    def fetch(self, stage: str, name: str) -> Path:
        """Return the folder of an artifact, with its files in it.

        Raises:
            StoreError: If they cannot be had.
        """
        return self.folder(stage, name)

    def foresee(self, stage: str, names: Iterable[str]) -> None:
        """Many artifacts will be asked for now, as far as they are there."""

    def fetch_log(self, stage: str, name: str) -> Path:
        """Return the file with all that a step has said so far."""
        return self.log_file(stage, name)

    def fetch_studies(self, *names: str) -> Path:  # noqa: ARG002
        """Return the folder of studies' folders, with the files of those named, or of all, in it."""
        return self.home / "studies"

    def share_study(self, study: str) -> None:
        """Let everybody see what was written into a study's folder."""

    def sharing(self, stage: str, name: str, lease: Lease) -> AbstractContextManager[None]:  # noqa: ARG002
        """Return what, while a step runs, lets everybody see its checkpoints and what it says."""
        return contextlib.nullcontext()

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

    def check_copy(self, stage: str, name: str) -> None:
        """Compare what `fetch` brought with the recorded SHA-256.

        Raises:
            StoreError: If the artifact itself is damaged.
        """
        self.check(stage, name)

    def names(self) -> list[tuple[str, str]]:
        """Return stage and fingerprint of every artifact, whole or not."""
        return sorted((path.parent.name, path.name) for path in (self.home / "artifacts").glob("*/*"))

    def num_bytes(self, stage: str, name: str) -> int:
        """Return what an artifact takes."""
        return size_of(self.folder(stage, name))

    def logged(self) -> list[tuple[str, str]]:
        """Return stage and fingerprint of every step that has said something."""
        paths = sorted((self.home / "logs").glob("*.log"))
        return [(stage, name) for stage, _, name in (path.stem.rpartition("-") for path in paths)]

    def partials(self) -> dict[str, int]:
        """Return name -> bytes, of what steps have that are not done: `partial`'s folders."""
        return {path.name: size_of(path) for path in sorted((self.home / "partial").glob("*"))}

    def drop_partial(self, name: str) -> None:
        """Remove one of `partials`."""
        shutil.rmtree(self.home / "partial" / name, ignore_errors=True)

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
        write_record(record, output)
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
        sync(folder.parent)
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


def _rebuild_cure(folder: Path) -> str:
    return f"remove {folder} and run the study again"
