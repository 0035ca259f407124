"""A server that speaks S3 on loopback, and stores in its buckets, for tests.

Keys and secrets are made up: the server takes any.
"""

from __future__ import annotations

import functools
import logging
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.execution import homes

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


@contextmanager
def serving() -> Iterator[str]:
    """Run a server in a thread; give its URL."""
    # Imported here, since it takes a second that most tests need not spend.
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = DomainDispatcherApplication(create_backend_app)
    lock = threading.Lock()

    def one_by_one(environ: Any, start: Any) -> list[bytes]:
        # Moto looks whether an object is there and then writes it; S3 does both at once.
        with lock:
            return list(moto(environ, start))

    server = make_server("127.0.0.1", 0, one_by_one, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


def client() -> Any:
    """Return a plain client, to look behind the store's back."""
    import boto3

    return _client(boto3, os.environ["AWS_ENDPOINT_URL"])


@functools.cache
def _client(boto3: Any, server: str) -> Any:
    return boto3.session.Session().client("s3", endpoint_url=server)


def make_home(server: str, patch: pytest.MonkeyPatch) -> Path:
    """Make a bucket and set the environment for it; return the home of a store in it."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
        patch.delenv(name, raising=False)
    for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": server}.items():
        patch.setenv(name, value)
    bucket = f"test-{secrets.token_hex(8)}"
    client().create_bucket(Bucket=bucket)
    return Path(f"s3://{bucket}/store")


def become_machine(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Have this process, and those that it starts, keep their copies in a folder of their own."""
    patch.setenv(homes.LOCAL, str(folder))
    homes._open_bucket.cache_clear()


def keys(home: Path, start: str = "") -> list[str]:
    """Return the keys below a store, without what they begin with."""
    _, bucket, *prefix = home.parts
    root = "".join(f"{part}/" for part in prefix)
    pages = client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=root + start)
    return [one["Key"].removeprefix(root) for page in pages for one in page.get("Contents", ())]


def overwrite(home: Path, name: str, content: bytes) -> None:
    """Replace an object of a store."""
    _, bucket, *prefix = home.parts
    client().put_object(Bucket=bucket, Key="/".join([*prefix, name]), Body=content)


def remove(home: Path, name: str) -> None:
    """Take away an object of a store."""
    _, bucket, *prefix = home.parts
    client().delete_object(Bucket=bucket, Key="/".join([*prefix, name]))
