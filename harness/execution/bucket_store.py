"""The artifact store in a bucket: steps run on a local folder, and what they made is in the bucket.

Owns `BucketStore` and the keys of its artifacts. The rule: an artifact's files are uploaded below a name
that follows from its record, the record is made last and by one conditional request, and so an artifact
is there whole or not at all, and never replaced while it is whole. The local folder, which is any
machine's own and may be removed at any time, is laid out like a store on a folder and holds copies;
each is checked against the record by SHA-256 before a step reads it.

    records/<stage>/<fingerprint>.json                   the record
    artifacts/<stage>/<fingerprint>/<digest>/<file>      the files of the record with this digest
    partial/<fingerprint>/                               checkpoints of a step in flight
    logs/<stage>-<fingerprint>.log/<time>-<token>        what one try of a step said
    journal.jsonl/<time>-<token>                         events that one process told
    leases/, runs/, studies/, submissions/               as on a folder
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath

from harness.errors import StoreError
from harness.execution.artifact_record import ArtifactRecord, read_record, write_record
from harness.execution.bucket import Bucket, Listed
from harness.execution.bucket_copies import CURE, Copies, digest_of, start_of
from harness.execution.bucket_listing import Shelves
from harness.execution.bucket_sharing import Checkpoints, Sharing
from harness.execution.leases import Lease
from harness.execution.location import Folder
from harness.execution.store import ArtifactStore
from harness.identity import file_sha256

_SAME_SECONDS = 0.01
"""What a file's time may lose when it is set."""


class BucketStore(ArtifactStore):
    """Finished steps in a bucket.

    Args:
        bucket: Where they are.
        home: This machine's folder for copies and for steps in flight.
    """

    def __init__(self, bucket: Bucket, home: Path) -> None:
        super().__init__(home, location=bucket)
        self._bucket = bucket
        self._shelves = Shelves(bucket, self.home / "records")
        self._copies = Copies(bucket, self.home)
        self._checkpoints: dict[str, Checkpoints] = {}

    @property
    def address(self) -> str:
        """What opens this store in another process."""
        return self._bucket.describe()

    def check_access(self) -> None:
        """Make sure that leases hold in the bucket, and that the local folder is this user's.

        Raises:
            StoreError: If not.
        """
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        super().check_access()
        self._bucket.check_creation()

    def touched(self, stages: Iterable[str]) -> set[str]:
        """Return the fingerprints that have an artifact of one of `stages`, whole or not."""
        return set[str]().union(*(self._shelves.look(stage) for stage in stages))

    def names(self) -> list[tuple[str, str]]:
        """Return stage and fingerprint of every artifact, whole or not."""
        paths = map(PurePosixPath, self._bucket.names("records/*/*.json"))
        return sorted((path.parent.name, path.stem) for path in paths)

    def record_text(self, stage: str, name: str) -> bytes | None:
        """Return the record of an artifact as it was written; None where there is none."""
        return self._shelves.record_text(stage, name)

    def find(self, stage: str, name: str) -> ArtifactRecord | None:
        """Return the record of a finished step, or None.

        Raises:
            StoreError: If the artifact is there but damaged.
        """
        text = self.record_text(stage, name)
        if text is None:
            return None
        place = self._bucket.describe(f"artifacts/{stage}/{name}")
        record = read_record(text, name, place=place, cure=CURE)
        there = self._shelves.sizes(stage, name)
        for file, size in record.sizes.items():
            if there.get(f"{digest_of(text)}/{file}") != size:
                raise StoreError(f"{place}/{file}: missing or cut short", cure=CURE)
        return record

    def check(self, stage: str, name: str) -> None:
        """Compare every file of an artifact with its recorded SHA-256.

        Raises:
            StoreError: Naming the first file that differs.
        """
        record = self.find(stage, name)
        if record is None:
            return
        start = start_of(stage, name, self.record_text(stage, name) or b"")
        files = list(record.files)
        found = self._bucket.each(lambda file: self._bucket.sha256(start + file), files)
        for file, digest in zip(files, found, strict=True):
            if digest != record.files[file]:
                place = self._bucket.describe(start + file)
                raise StoreError(f"{place}: content changed", cure=CURE)

    def fetch(self, stage: str, name: str) -> Path:
        """Return the local folder of an artifact, with its files in it.

        Raises:
            StoreError: If they cannot be had, or are damaged.
        """
        text = self.record_text(stage, name)
        place = self._bucket.describe(f"artifacts/{stage}/{name}")
        if text is None:
            raise StoreError(f"{place}: not there any more")
        record = read_record(text, name, place=place, cure=CURE)
        return self._copies.fetch(text, record, start=start_of(stage, name, text))

    def foresee(self, stage: str, names: Iterable[str]) -> None:
        """Many artifacts will be asked for now, as far as they are there."""
        there = self.touched({stage})
        wanted = [name for name in names if name in there]
        # Alone: it brings the records of all.
        if wanted and self.has(stage, wanted[0]):
            self._bucket.each(lambda name: self._fetch_if_whole(stage, name), wanted)

    def _fetch_if_whole(self, stage: str, name: str) -> None:
        # Who asks for a damaged one is told then.
        with contextlib.suppress(StoreError):
            self.fetch(stage, name)

    def check_copy(self, stage: str, name: str) -> None:
        """Compare what `fetch` brought with the recorded SHA-256; bring it again if the copy differs.

        Raises:
            StoreError: If the artifact itself is damaged.
        """
        record = self.find(stage, name)
        folder = self.folder(stage, name)
        files = record.files if record is not None else {}
        if any(file_sha256(folder / file) != digest for file, digest in files.items()):
            shutil.rmtree(folder, ignore_errors=True)
            self.fetch(stage, name)

    def num_bytes(self, stage: str, name: str) -> int:
        """Return what an artifact takes in the bucket."""
        return sum(self._shelves.sizes(stage, name).values())

    def publish(self, record: ArtifactRecord, output: Path) -> Path:
        """Make `output` the artifact of `record`, and return the local folder of the artifact.

        The caller holds the step's lease. After a kill at any instant the artifact is there whole or
        not at all; one that is there and whole already stays.
        """
        name, stage = record.fingerprint, record.payload["stage"]
        if (checkpoints := self._checkpoints.get(name)) is not None:
            checkpoints.stop()
        text = write_record(record, output)
        start = start_of(stage, name, text)
        self._bucket.each(lambda file: self._bucket.upload(output / file, start + file), record.files)
        if self._put_record(stage, name, text):
            self._copies.put(output, stage, name)
        else:
            self._remove_below(start)
        shutil.rmtree(output, ignore_errors=True)
        self.drop_partial(name)
        return self.folder(stage, name)

    def _put_record(self, stage: str, name: str, text: bytes) -> bool:
        """Make an artifact count; return False if there is one that is whole."""
        key = f"records/{stage}/{name}.json"
        self._shelves.forget(stage)
        is_ours = self._bucket.create(key, text)
        if not is_ours and not self.has(stage, name):
            others = self.record_text(stage, name) or b""
            self._bucket.remove(key)
            self._remove_below(start_of(stage, name, others))
            is_ours = self._bucket.create(key, text)
        self._shelves.forget(stage)
        return is_ours

    def discard(self, stage: str, name: str) -> None:
        """Remove an artifact: in one instant from sight, then its files, then this machine's copy."""
        self._bucket.remove(f"records/{stage}/{name}.json")
        self._remove_below(f"artifacts/{stage}/{name}/")
        self._shelves.forget(stage)
        super().discard(stage, name)

    def partials(self) -> dict[str, int]:
        """Return name -> bytes, of what steps have that are not done, here and in the bucket.

        Uploads that no record speaks of are named as the output of a lease is on a folder.
        """
        found = dict(super().partials())
        for key, one in self._bucket.listing("partial/").items():
            name = key.split("/")[1]
            found[name] = found.get(name, 0) + one.size
        known: dict[tuple[str, str], str] = {}
        uploads = self._bucket.listing("artifacts/")
        self.touched({key.split("/")[1] for key in uploads})
        for key, one in uploads.items():
            stage, name, digest = key.split("/")[1:4]
            if (stage, name) not in known:
                text = self.record_text(stage, name)
                known[stage, name] = "" if text is None else digest_of(text)
            if known[stage, name] != digest:
                left = f"{name}-{digest}"
                found[left] = found.get(left, 0) + one.size
        return found

    def drop_partial(self, name: str) -> None:
        """Remove one of `partials`, here and in the bucket."""
        super().drop_partial(name)
        step, _, digest = name.partition("-")
        if not digest:
            self._remove_below(f"partial/{step}/")
            return
        for key in self._bucket.listing("artifacts/"):
            if key.split("/")[2:4] == [step, digest]:
                self._bucket.remove(key)

    def partial(self, name: str, token: str) -> tuple[Path, Path]:
        """Return the fresh output folder of a step, and its scratch folder with all checkpoints."""
        Checkpoints(self._bucket, self.home, name).bring()
        return super().partial(name, token)

    def sharing(self, stage: str, name: str, lease: Lease) -> AbstractContextManager[None]:
        """Return what, while a step runs, lets everybody see its checkpoints and what it says."""
        checkpoints = self._checkpoints[name] = Checkpoints(self._bucket, self.home, name)
        said = f"logs/{stage}-{name}.log"
        return Sharing(self._bucket, checkpoints, lease, log=self.log_file(stage, name), name=said)

    def logged(self) -> list[tuple[str, str]]:
        """Return stage and fingerprint of every step that has said something."""
        paths = (PurePosixPath(name).parent.stem for name in self._bucket.names("logs/*/*"))
        return sorted({(stage, name) for stage, _, name in (path.rpartition("-") for path in paths)})

    def fetch_log(self, stage: str, name: str) -> Path:
        """Return a local file with all that a step has said so far, on any machine."""
        listing = self._bucket.listing(f"logs/{stage}-{name}.log/")
        # A running step's own file lies in `logs`: this is another, of all tries.
        path = self.home / "said" / f"{stage}-{name}.log"
        if listing:
            said = self._bucket.read_listed(sorted(listing), listing).values()
            Folder(path.parent).write(path.name, b"".join(said))
        return path

    def fetch_studies(self, *names: str) -> Path:
        """Return the local folder of studies' folders, with the files of those named, or all, in it."""
        root = self.home / "studies"
        for start in [f"studies/{name}/" for name in names] or ["studies/"]:
            listing = self._bucket.listing(start)
            self._bucket.each(lambda key: self._bring_file(*key), listing.items())
        return root

    def share_study(self, study: str) -> None:
        """Let everybody see what was written into a study's folder."""
        folder = self.study_folder(study)
        # The summary last: with it, the records count.
        for path in sorted(folder.glob("*"), key=lambda path: (path.name == "study.json", path.name)):
            if path.is_file() and not path.name.startswith(("plan", "forecast", ".")):
                self._bucket.upload(path, f"studies/{study}/{path.name}")

    def _bring_file(self, name: str, listed: Listed) -> None:
        """Bring a file that is not of an artifact, unless it is here as it was listed."""
        path = self.home / name
        if not path.resolve().is_relative_to(self.home.resolve()):
            raise StoreError(f"{self._bucket.describe(name)}: leads out of the store")
        with contextlib.suppress(FileNotFoundError):
            stat = path.stat()
            if stat.st_size == listed.size and abs(stat.st_mtime - listed.modified) < _SAME_SECONDS:
                return
        aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        self._bucket.download(name, aside)
        os.utime(aside, (listed.modified,) * 2)
        aside.replace(path)

    def _remove_below(self, start: str) -> None:
        if start:
            self._bucket.remove_all(self._bucket.listing(start))
