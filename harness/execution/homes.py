"""What `HARNESS_HOME` and `--home` mean.

Owns the way from what a user wrote to an open store. The rule: a path is a folder, and of URLs only
those that a store can keep its promises on are taken; what is refused is told what to do instead, and
no credentials are taken from a URL.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
from pathlib import Path

from harness.errors import StoreError
from harness.execution.store import ArtifactStore

LOCAL = "HARNESS_LOCAL"
"""Environment variable: where this machine keeps what is in flight, and copies, of stores in buckets."""

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PART = re.compile(r"(?!\.+$)[\w.=+-]+")
_FOLDER = (
    "use a folder that all machines see (NFS, Lustre, EFS, FSx), or a bucket that speaks S3: "
    "s3://BUCKET/PREFIX, with AWS_ENDPOINT_URL for any but AWS's"
)


def open_store(home: Path | None = None) -> ArtifactStore:
    """Return the store at `home`; the one of `HARNESS_HOME`, else `.harness` here, when None.

    Raises:
        StoreError: If it is the URL of something that cannot be a store, or its bucket does not answer.
    """
    place = home or default_home()
    return _open_bucket(*_bucket_of(place)) if is_url(place) else ArtifactStore(place)


def check_folder(home: Path, *, verb: str, cure: str) -> None:
    """Make sure that a store is a folder, for a verb that needs one.

    Args:
        home: What `--home` or `HARNESS_HOME` says.
        verb: Of the command.
        cure: Option that gives the verb a folder.

    Raises:
        StoreError: If it is a bucket.
    """
    if is_url(home):
        raise StoreError(
            f"`harness {verb}` keeps files that are written in place, which a bucket cannot",
            cure=f"give it a folder: {cure}",
        )


def default_home() -> Path:
    """Return what `HARNESS_HOME` names, or `.harness` in the current folder."""
    home = Path(os.environ.get("HARNESS_HOME") or ".harness")
    return home if is_url(home) else home.absolute()


def is_url(home: Path) -> bool:
    """Return whether a home is written as a URL; a path has one `/` of the two left."""
    return bool(home.parts) and home.parts[0].endswith(":")


def _bucket_of(home: Path) -> tuple[str, str]:
    """Return the bucket and the prefix of a URL."""
    scheme, *parts = home.parts
    if any("@" in part for part in parts):
        # Not told what was seen: it may be a secret.
        raise StoreError(
            "the store's URL holds credentials",
            cure="leave them out of it: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
        )
    url = f"{scheme}//{'/'.join(parts)}"
    if scheme != "s3:":
        raise StoreError(f"{url}: a store cannot be there", cure=_FOLDER)
    if not parts or not _BUCKET.fullmatch(parts[0]):
        raise StoreError(f"{url}: names no bucket", cure="write s3://BUCKET/PREFIX")
    for part in parts[1:]:
        if not _PART.fullmatch(part):
            raise StoreError(
                f"{url}: {part!r} cannot be part of a prefix",
                cure="use letters, digits and . _ - = + between the `/`",
            )
    return parts[0], "/".join(parts[1:])


@functools.cache
def _open_bucket(bucket: str, prefix: str) -> ArtifactStore:
    """Return the store in a bucket; connected to once a process."""
    try:
        from harness.execution.bucket import Bucket
        from harness.execution.bucket_store import BucketStore
    except ImportError as error:
        raise StoreError(
            f"s3://{bucket}: the client for S3 is not installed: {error}",
            cure="pip install 'embedding-harness[s3]'",
        ) from error
    return BucketStore(Bucket.connect(bucket, prefix), _local_folder(bucket, prefix))


def _local_folder(bucket: str, prefix: str) -> Path:
    """Return this machine's folder for a store in a bucket, of one server, bucket and prefix alone."""
    root = os.environ.get(LOCAL) or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    server = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    digest = hashlib.sha256(f"{server} {bucket} {prefix}".encode()).hexdigest()[:12]
    return Path(root).absolute() / "embedding-harness" / f"{bucket}-{digest}"
