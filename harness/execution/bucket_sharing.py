"""What a step in flight lets other machines see: its checkpoints, and what it says.

Owns `Checkpoints` and `Sharing`. The rule: files are uploaded by their digests and a manifest, written
last, says which belong together, all of them as they were at one instant; so what another machine goes
on from is what a kill at that instant would have left here. Hidden files are in the making, and stay.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from harness.errors import StoreError
from harness.execution.bucket import Bucket
from harness.execution.leases import BEAT_SECONDS, Lease
from harness.identity import file_sha256

_MANIFEST = "manifest.json"
_SMALL_BYTES = 1 << 20
"""Files up to this size may be written in place, and are copied; larger ones are linked."""


class _Seen(NamedTuple):
    """What changes when a file is written to or replaced."""

    size: int
    changed: int
    inode: int


class Checkpoints:
    """The scratch folder of one step, here and in the bucket.

    Args:
        bucket: The store's.
        home: This machine's folder.
        name: Fingerprint of the step.
    """

    def __init__(self, bucket: Bucket, home: Path, name: str) -> None:
        self._bucket = bucket.below(f"partial/{name}")
        self._scratch = home / "partial" / name
        self._aside = home / "partial" / f"{name}-{secrets.token_hex(8)}"
        self._note = home / "shared" / name
        self._seen: Mapping[str, _Seen] = {}
        self._digests: dict[_Seen, str] = {}
        self._is_stopped = threading.Event()
        self._lock = threading.Lock()

    def bring(self) -> None:
        """Bring the newest checkpoints, unless they were made here; damaged ones are left out whole."""
        text = self._bucket.read(_MANIFEST)
        if text is None or (self._note.exists() and self._note.read_bytes() == text):
            return
        try:
            self._download(json.loads(text))
        except (ValueError, KeyError, TypeError, StoreError):
            # Only time is lost: the step goes on from what is here, or begins anew.
            shutil.rmtree(self._aside, ignore_errors=True)
            return
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._aside.rename(self._scratch)
        self._told(text)

    def share(self, lease: Lease) -> None:
        """Let others see the checkpoints, if they changed and stood still meanwhile."""
        with self._lock:
            if self._is_stopped.is_set():
                return
            try:
                seen = self._look()
                if seen and seen != self._seen and self._take(seen) and self._look() == seen:
                    self._upload(seen, lease)
            except FileNotFoundError:
                # Something was removed meanwhile: the next look comes soon.
                return
            finally:
                shutil.rmtree(self._aside, ignore_errors=True)

    def stop(self) -> None:
        """Share nothing any more; when this returns nothing is under way."""
        self._is_stopped.set()
        with self._lock:
            self._note.unlink(missing_ok=True)

    def _look(self) -> dict[str, _Seen]:
        found = {}
        for path in sorted(self._scratch.rglob("*")):
            place = path.relative_to(self._scratch)
            if path.is_file() and not any(part.startswith(".") for part in place.parts):
                stat = path.stat()
                found[place.as_posix()] = _Seen(stat.st_size, stat.st_mtime_ns, stat.st_ino)
        return found

    def _take(self, seen: Mapping[str, _Seen]) -> bool:
        """Keep the files as they are now, beside the scratch folder."""
        for name, one in seen.items():
            target = self._aside / name
            target.parent.mkdir(parents=True, exist_ok=True)
            take = shutil.copyfile if one.size <= _SMALL_BYTES else os.link
            take(self._scratch / name, target)
        return True

    def _upload(self, seen: Mapping[str, _Seen], lease: Lease) -> None:
        for name, one in seen.items():
            if one not in self._digests:
                self._digests[one] = file_sha256(self._aside / name)
        files = {name: self._digests[one] for name, one in seen.items()}
        there = self._bucket.listing()
        for name, digest in files.items():
            if self._is_stopped.is_set():
                return
            if digest not in there:
                self._bucket.upload(self._aside / name, digest)
        # A successor's manifest is not to be replaced.
        lease.check()
        text = json.dumps(files, indent=1, sort_keys=True).encode()
        self._bucket.write(_MANIFEST, text)
        self._told(text)
        self._seen = seen
        self._bucket.remove_all(there.keys() - {*files.values(), _MANIFEST})

    def _download(self, files: Mapping[str, str]) -> None:
        for name in files:
            if not (self._aside / name).resolve().is_relative_to(self._aside.resolve()):
                raise ValueError(f"{name!r} leads out of the folder")
        self._aside.mkdir(parents=True)
        self._bucket.each(lambda name: self._bucket.download(files[name], self._aside / name), files)
        for name, digest in files.items():
            if file_sha256(self._aside / name) != digest:
                raise ValueError(f"{name!r} is damaged")

    def _told(self, text: bytes) -> None:
        self._note.parent.mkdir(parents=True, exist_ok=True)
        self._note.write_bytes(text)


class Sharing:
    """Shares a step's checkpoints and log while it runs. A context manager.

    Args:
        bucket: The store's.
        checkpoints: The step's.
        lease: Under which it runs.
        log: What it says, with what it said here before.
        name: Of the log in the bucket.
    """

    def __init__(
        self, bucket: Bucket, checkpoints: Checkpoints, lease: Lease, *, log: Path, name: str
    ) -> None:
        self._bucket = bucket
        self._checkpoints = checkpoints
        self._lease = lease
        self._log = log
        self._name = f"{name}/{time.time_ns():020d}-{lease.token}"
        self._before = self._length()
        self._shared = self._before
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True, name="sharing")

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()
        self._share()

    def _go_on(self) -> None:
        while not self._is_over.wait(BEAT_SECONDS):
            self._share()

    def _share(self) -> None:
        # What is not seen now is seen the next time; a bucket out of reach ends no step.
        with contextlib.suppress(OSError, StoreError):
            self._share_log()
        with contextlib.suppress(OSError, StoreError):
            self._checkpoints.share(self._lease)

    def _share_log(self) -> None:
        if (length := self._length()) == self._shared:
            return
        with self._log.open("rb") as file:
            file.seek(self._before)
            self._bucket.write(self._name, file.read())
        self._shared = length

    def _length(self) -> int:
        return self._log.stat().st_size if self._log.exists() else 0
