"""What a bucket's listings tell of artifacts, so that many questions take few requests.

Owns `Shelves`, one a stage. The rule: what a listing told is taken for true for a few seconds, as what a
client of NFS knows of a folder is; that something is not there is always asked anew. Records are kept on
this machine by their ETags, and those of a whole stage are brought together when many are asked for.
"""

from __future__ import annotations

import secrets
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.execution.bucket import Bucket, Listed

_TRUE_SECONDS = 10.0


@dataclass(slots=True, kw_only=True)
class _Shelf:
    """One stage, as it was listed."""

    until: float
    records: dict[str, Listed]
    """Fingerprint -> its record."""
    sizes: dict[str, dict[str, int]] | None = None
    """Fingerprint -> file -> bytes; listed when first asked for."""


class Shelves:
    """The stages of a store.

    Args:
        bucket: The store's.
        folder: Of this machine, for the records.
        clock: Seconds that never go back.
    """

    def __init__(
        self, bucket: Bucket, folder: Path, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._bucket = bucket
        self._folder = folder
        self._clock = clock
        self._shelves: dict[str, _Shelf] = {}

    def look(self, stage: str) -> set[str]:
        """Return the fingerprints that have a record now."""
        start = f"records/{stage}/"
        records = {
            key.removeprefix(start).removesuffix(".json"): listed
            for key, listed in self._bucket.listing(start).items()
        }
        self._shelves[stage] = _Shelf(until=self._clock() + _TRUE_SECONDS, records=records)
        return set(records)

    def forget(self, stage: str) -> None:
        """What was listed of a stage is not true any more."""
        self._shelves.pop(stage, None)

    def record_text(self, stage: str, name: str) -> bytes | None:
        """Return a record; None where there is none."""
        shelf = self._known(stage, name)
        if shelf is None:
            return self._bucket.read(_key(stage, name))
        path = self._path(stage, name, shelf.records[name])
        if not path.exists():
            self._bring(stage, shelf)
        return path.read_bytes() if path.exists() else None

    def sizes(self, stage: str, name: str) -> dict[str, int]:
        """Return the files of an artifact: digest of the record, `/` and path -> bytes."""
        shelf = self._known(stage, name)
        if shelf is None:
            start = f"artifacts/{stage}/{name}/"
            found = self._bucket.listing(start).items()
            return {key.removeprefix(start): listed.size for key, listed in found}
        if shelf.sizes is None:
            start = f"artifacts/{stage}/"
            shelf.sizes = defaultdict(dict)
            for key, listed in self._bucket.listing(start).items():
                whose, _, file = key.removeprefix(start).partition("/")
                shelf.sizes[whose][file] = listed.size
        return shelf.sizes.get(name, {})

    def _known(self, stage: str, name: str) -> _Shelf | None:
        shelf = self._shelves.get(stage)
        is_true = shelf is not None and self._clock() < shelf.until
        return shelf if shelf is not None and is_true and name in shelf.records else None

    def _bring(self, stage: str, shelf: _Shelf) -> None:
        """Bring the records of a stage that are not here."""

        def bring(name: str) -> None:
            path = self._path(stage, name, shelf.records[name])
            if not path.exists() and (text := self._bucket.read(_key(stage, name))) is not None:
                aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
                aside.write_bytes(text)
                aside.replace(path)

        (self._folder / stage).mkdir(parents=True, exist_ok=True)
        self._bucket.each(bring, shelf.records)

    def _path(self, stage: str, name: str, listed: Listed) -> Path:
        return self._folder / stage / f"{name}.{listed.etag.strip(chr(34))}"


def _key(stage: str, name: str) -> str:
    return f"records/{stage}/{name}.json"
