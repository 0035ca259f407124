"""A bucket that cannot be a store is refused with a cure, and no secret is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from harness.errors import StoreError
from harness.execution.bucket_faults import told
from harness.execution.bucket_store import BucketStore
from harness.execution.homes import default_home, open_store
from tests.execution.fake import CountingStage, plan_of, step
from tests.execution.on_bucket import opened, run_on

SECRET = "testing"


@pytest.fixture
def store(bucket_home: Path) -> BucketStore:
    return opened(bucket_home)


def test_a_bucket_that_is_not_there_is_told(bucket_home: Path) -> None:
    with pytest.raises(StoreError, match="s3://no-such-bucket/a: there is no such bucket") as caught:
        open_store(Path("s3://no-such-bucket/a"))
    assert "make it first" in caught.value.cure


def test_a_server_that_is_not_there_is_told_without_what_its_url_holds(
    bucket_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://someone:{SECRET}@127.0.0.1:9")
    with pytest.raises(StoreError, match=r"no answer from http://127\.0\.0\.1:9") as caught:
        open_store(bucket_home)
    assert "AWS_ENDPOINT_URL" in caught.value.cure
    assert SECRET not in str(caught.value)


def test_an_endpoint_that_is_no_url_is_told_without_it(
    bucket_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"someone:{SECRET}@nowhere")
    with pytest.raises(StoreError, match="AWS_ENDPOINT_URL is no URL") as caught:
        open_store(bucket_home)
    assert SECRET not in str(caught.value)


def test_credentials_that_are_not_there_are_told(
    bucket_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(StoreError, match="there are no credentials") as caught:
        open_store(bucket_home)
    assert "AWS_PROFILE" in caught.value.cure


@pytest.mark.parametrize(
    ("code", "status", "told_as", "cure"),
    [
        ("InvalidAccessKeyId", 403, "does not know the access key", "AWS_ACCESS_KEY_ID"),
        ("SignatureDoesNotMatch", 403, "the secret key does not fit", "AWS_SECRET_ACCESS_KEY"),
        ("AccessDenied", 403, "access is denied", "PutObject"),
        ("403", 403, "access is denied", "PutObject"),
        ("ExpiredToken", 400, "expired", "AWS_SESSION_TOKEN"),
        ("PermanentRedirect", 301, "another region", "AWS_DEFAULT_REGION"),
        ("SlowDown", 503, "answered PutObject with SlowDown", "run the same command again"),
    ],
)
def test_what_a_server_refuses_is_told_with_a_cure(
    code: str, status: int, told_as: str, cure: str
) -> None:
    answer: Any = {
        "Error": {"Code": code, "Message": SECRET},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    error = told(ClientError(answer, "PutObject"), "s3://b/p")
    assert told_as in error.message
    assert cure in error.cure
    assert SECRET not in str(error)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("gs://bucket/prefix", "a store cannot be there"),
        ("s3://", "names no bucket"),
        ("s3://Not_A_Bucket/a", "names no bucket"),
        ("s3://bucket/a/../b", "cannot be part of a prefix"),
        ("s3://bucket/a?b", "cannot be part of a prefix"),
        (f"s3://key:{SECRET}@bucket/a", "holds credentials"),
    ],
)
def test_a_url_that_cannot_be_a_store_is_refused(
    url: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_HOME", url)
    with pytest.raises(StoreError, match=message) as caught:
        open_store()
    assert caught.value.cure
    assert SECRET not in str(caught.value)


def test_the_environment_names_a_bucket_as_it_names_a_folder(
    bucket_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_HOME", f"s3://{'/'.join(bucket_home.parts[1:])}")
    assert default_home() == bucket_home
    assert open_store().address == f"s3://{'/'.join(bucket_home.parts[1:])}"


@pytest.mark.parametrize("answer", ["ignored", "refused"])
def test_a_server_on_which_leases_would_not_hold_is_refused(
    answer: str, stage: CountingStage, store: BucketStore
) -> None:
    def change(params: dict[str, Any], **_: Any) -> None:
        if params.pop("IfNoneMatch", None) and answer == "refused":
            raise ClientError({"ResponseMetadata": {"HTTPStatusCode": 501}}, "PutObject")

    events = store._bucket._shared.client.meta.events
    events.register("before-parameter-build.s3.PutObject", change)
    with pytest.raises(StoreError, match="does not honour `If-None-Match") as caught:
        run_on(store, plan_of(step("a")))
    assert "shared folder" in caught.value.cure
    with pytest.raises(StoreError, match="does not honour"):
        store.leases.acquire("a")
    assert not stage.runs
    assert list(store._bucket.listing()) == []


def test_an_answer_that_was_lost_does_not_make_a_holder_wait_for_itself(store: BucketStore) -> None:
    # The client asks again when no answer comes: its own object is there then.
    assert store._bucket.create("a", b"mine")
    assert store._bucket.create("a", b"mine")
    assert not store._bucket.create("a", b"another's")
