"""This machine's copies of artifacts that are in a bucket.

Owns `Copies`, and where a record's files are. The rule: a copy is there whole or not at all, its files
have the digests that the record tells when they come, and it counts only while its record is that of
the bucket, to the byte.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import shutil
from pathlib import Path

from filelock import FileLock

from harness.errors import StoreError
from harness.execution.artifact_record import RECORD_NAME, ArtifactRecord
from harness.execution.bucket import Bucket
from harness.identity import file_sha256

CURE = "`harness verify --artifacts --repair` removes what is damaged; the next run makes it anew"


class Copies:
    """Artifacts on this machine, laid out as in a store on a folder.

    Args:
        bucket: Where they come from.
        home: This machine's folder.
    """

    def __init__(self, bucket: Bucket, home: Path) -> None:
        self._bucket = bucket
        self._home = home

    def fetch(self, text: bytes, record: ArtifactRecord, *, start: str) -> Path:
        """Return the folder of a copy.

        Args:
            text: The record, as it is in the bucket.
            record: The same, read.
            start: What the names of its files in the bucket begin with.

        Raises:
            StoreError: If a file is missing or is not as the record says.
        """
        folder = self._folder(record.payload["stage"], record.fingerprint)
        if not _is_copy(folder, text, record):
            # Two steps that need one artifact bring it once.
            lock = self._home / "fetching" / record.fingerprint
            lock.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(lock):
                if not _is_copy(folder, text, record):
                    self._bring(text, record, start)
        return folder

    def put(self, output: Path, stage: str, name: str) -> None:
        """Make a folder, with its record in it, the copy of an artifact."""
        folder = self._folder(stage, name)
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        output.rename(folder)

    def _bring(self, text: bytes, record: ArtifactRecord, start: str) -> None:
        output = self._home / "partial" / f"{record.fingerprint}-{secrets.token_hex(8)}"

        def bring(file: str) -> None:
            path = output / file
            if not path.resolve().is_relative_to(output.resolve()):
                raise StoreError(f"{self._bucket.describe(start)}: {file!r} leads out of it", cure=CURE)
            self._bucket.download(start + file, path)
            if file_sha256(path) != record.files[file]:
                raise StoreError(f"{self._bucket.describe(start + file)}: content changed", cure=CURE)

        try:
            self._bucket.each(bring, record.files)
            (output / RECORD_NAME).write_bytes(text)
            self.put(output, record.payload["stage"], record.fingerprint)
        finally:
            shutil.rmtree(output, ignore_errors=True)

    def _folder(self, stage: str, name: str) -> Path:
        return self._home / "artifacts" / stage / name


def digest_of(text: bytes) -> str:
    """Return what stands for a record in the names of its files."""
    return hashlib.sha256(text).hexdigest()[:16]


def start_of(stage: str, name: str, text: bytes) -> str:
    """Return what the names of an artifact's files begin with, by its record."""
    return f"artifacts/{stage}/{name}/{digest_of(text)}/"


def _is_copy(folder: Path, text: bytes, record: ArtifactRecord) -> bool:
    with contextlib.suppress(OSError):
        return (folder / RECORD_NAME).read_bytes() == text and all(
            (folder / file).stat().st_size == size for file, size in record.sizes.items()
        )
    return False
