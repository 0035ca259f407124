"""A store's location in a bucket that speaks S3.

Owns `Bucket`: the requests, and what is asked of a server. The rule: an object is there whole or not at
all, and one that must be new is made by a conditional request (`If-None-Match`), which a server is seen
to honour before the first is trusted. Credentials come from the environment or AWS's own files, and are
never written or told.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import boto3
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from harness.execution.bucket_faults import no_endpoint, no_leases, told
from harness.execution.bucket_log import BucketLog, Segment
from harness.execution.bucket_marks import BucketMarks
from harness.execution.journal import Log
from harness.execution.marks import Marks

_AT_ONCE = 16
"""Requests that are under way at once, where there are many."""
_CONFLICTS = 5
_PRECONDITION_FAILED, _CONFLICT, _NOT_FOUND = 412, 409, 404
_Item = TypeVar("_Item")
_Made = TypeVar("_Made")


class Listed(NamedTuple):
    """What a listing tells of an object."""

    etag: str
    """Another whenever the content is."""
    size: int
    modified: float
    """By the server's clock, in seconds."""


@dataclass(slots=True, kw_only=True)
class _Connection:
    """What all parts of one bucket share in this process."""

    client: Any
    bucket: str
    is_proven: bool = False
    """Whether the server was seen to refuse what is there already."""
    segments: dict[str, Segment] = field(default_factory=dict)
    contents: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """Of objects that change seldom: ETag and content."""


class Bucket:
    """Objects of one bucket whose keys begin alike.

    Args:
        connection: To the bucket.
        prefix: What all keys begin with: empty, or ending with `/`.
    """

    def __init__(self, connection: _Connection, prefix: str) -> None:
        self._shared = connection
        self._prefix = prefix

    @classmethod
    def connect(cls, bucket: str, prefix: str) -> Bucket:
        """Return a bucket that answers.

        Args:
            bucket: Its name.
            prefix: Below which the store is; empty for all of it.

        Raises:
            StoreError: If there is no such bucket, no server or no right to it.
        """
        made = _Connection(client=None, bucket=bucket)
        found = cls(made, f"{prefix}/" if prefix else "")
        with found._asking():
            session = boto3.session.Session()
            try:
                # Two tries: whoever mistyped an address is told at once.
                first = session.client("s3", config=_config(tries=2))
            except ValueError:
                raise no_endpoint(found.describe()) from None
            first.list_objects_v2(Bucket=bucket, Prefix=found._prefix, MaxKeys=1)
            made.client = session.client("s3", config=_config(tries=8))
        return found

    def read(self, name: str) -> bytes | None:
        """Return an object's content; None if it is not there."""
        with self._asking():
            try:
                answer = self._shared.client.get_object(**self._named(name))
                content: bytes = answer["Body"].read()
            except ClientError as error:
                if _status(error) == _NOT_FOUND and _code(error) != "NoSuchBucket":
                    return None
                raise
        return content

    def read_listed(self, names: Iterable[str], listing: dict[str, Listed]) -> dict[str, bytes]:
        """Return name -> content of listed objects; only what has changed is asked for again."""

        def content(name: str) -> bytes | None:
            key, etag = self._prefix + name, listing[name].etag
            known = self._shared.contents.get(key)
            if known is None or known[0] != etag:
                text = self.read(name)
                if text is None:
                    return None
                known = self._shared.contents[key] = (etag, text)
            return known[1]

        wanted = list(names)
        found = zip(wanted, self.each(content, wanted), strict=True)
        return {name: text for name, text in found if text is not None}

    def write(self, name: str, content: bytes) -> None:
        """Write an object, in the place of one that was there."""
        with self._asking():
            self._shared.client.put_object(**self._named(name), Body=content)

    def create(self, name: str, content: bytes) -> bool:
        """Write an object in one step, unless there is one; return False if there is.

        Raises:
            StoreError: If the server does not honour such requests.
        """
        self.check_creation()
        return self._create(name, content)

    def check_creation(self) -> None:
        """Make sure that the server refuses to make what is there already; asked once.

        Raises:
            StoreError: If it does not: leases would not hold.
        """
        if self._shared.is_proven:
            return
        name = f"probe/{secrets.token_hex(8)}"
        try:
            honours = self._create(name, b"1", is_probe=True) and not self._create(name, b"2")
        finally:
            self.remove(name)
        if not honours:
            raise no_leases(self.describe())
        self._shared.is_proven = True

    def _create(self, name: str, content: bytes, *, is_probe: bool = False) -> bool:
        with self._asking(is_probe=is_probe):
            for _ in range(_CONFLICTS):
                try:
                    self._shared.client.put_object(**self._named(name), Body=content, IfNoneMatch="*")
                except ClientError as error:
                    if _status(error) == _CONFLICT:
                        # Another such request was under way; who wins is seen by the next.
                        continue
                    if _status(error) == _PRECONDITION_FAILED:
                        # The answer to a request that made it may have been lost on the way.
                        return self.read(name) == content
                    raise
                return True
        return False

    def has(self, name: str) -> bool:
        """Return whether an object is there."""
        return self.version(name) is not None

    def version(self, name: str) -> str | None:
        """Return what is another whenever an object is replaced; None if it is not there."""
        with self._asking():
            try:
                told = self._shared.client.head_object(**self._named(name))
            except ClientError as error:
                if _status(error) == _NOT_FOUND:
                    return None
                raise
        etag: str = told["ETag"]
        return etag

    def remove(self, name: str) -> None:
        """Take an object away, if it is there."""
        with self._asking():
            self._shared.client.delete_object(**self._named(name))

    def remove_all(self, names: Iterable[str]) -> None:
        """Take objects away."""
        self.each(self.remove, names)

    def names(self, pattern: str) -> list[str]:
        """Return the names that match a pattern, sorted; `*` stands for anything but `/`."""
        start = pattern.partition("*")[0]
        wanted = re.compile("[^/]*".join(map(re.escape, pattern.split("*"))))
        return sorted(name for name in self.listing(start) if wanted.fullmatch(name))

    def listing(self, start: str = "") -> dict[str, Listed]:
        """Return name -> what is told of it, of all objects whose names begin so."""
        found = {}
        with self._asking():
            pages = self._shared.client.get_paginator("list_objects_v2").paginate(
                Bucket=self._shared.bucket, Prefix=self._prefix + start
            )
            for page in pages:
                for one in page.get("Contents", ()):
                    name = one["Key"].removeprefix(self._prefix)
                    found[name] = Listed(one["ETag"], one["Size"], one["LastModified"].timestamp())
        return found

    def upload(self, path: Path, name: str) -> None:
        """Write a file of any size as an object."""
        with self._asking():
            self._shared.client.upload_file(str(path), *self._named(name).values())

    def download(self, name: str, path: Path) -> None:
        """Write an object of any size as a file.

        Raises:
            StoreError: Also if it is not there.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._asking():
            self._shared.client.download_file(*self._named(name).values(), str(path))

    def sha256(self, name: str) -> str:
        """Return the SHA-256 of an object's content.

        Raises:
            StoreError: Also if it is not there.
        """
        digest = hashlib.sha256()
        with self._asking():
            body = self._shared.client.get_object(**self._named(name))["Body"]
            for chunk in body.iter_chunks(1 << 20):
                digest.update(chunk)
        return digest.hexdigest()

    def each(self, function: Callable[[_Item], _Made], items: Iterable[_Item]) -> list[_Made]:
        """Return what a function makes of each item, many at a time."""
        wanted = list(items)
        if len(wanted) < 2:
            return [function(one) for one in wanted]
        with ThreadPoolExecutor(min(_AT_ONCE, len(wanted))) as pool:
            return list(pool.map(function, wanted))

    def log(self, name: str) -> Log:
        """Return lines that are only ever appended."""
        return BucketLog(self.below(name), self._shared.segments)

    def marks(self) -> Marks:
        """Return the leases that are kept here."""
        return BucketMarks(self)

    def below(self, name: str) -> Bucket:
        """Return the part of this location whose names begin with `name` and `/`."""
        return Bucket(self._shared, f"{self._prefix}{name}/")

    def describe(self, name: str = "") -> str:
        """Return an object's URL."""
        return f"s3://{self._shared.bucket}/{self._prefix}{name}".rstrip("/")

    def _named(self, name: str) -> dict[str, str]:
        return {"Bucket": self._shared.bucket, "Key": self._prefix + name}

    @contextlib.contextmanager
    def _asking(self, *, is_probe: bool = False) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError, Boto3Error) as error:
            raise told(error, self.describe(), is_probe=is_probe) from error


def _config(*, tries: int) -> Config:
    return Config(
        connect_timeout=10,
        read_timeout=30,
        max_pool_connections=2 * _AT_ONCE,
        retries={"mode": "standard", "max_attempts": tries},
        # What other servers than AWS's may not know; contents are checked by their SHA-256.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        user_agent_extra="embedding-harness",
    )


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
