"""What is lost on the way to a bucket leaves nothing that counts, and many steps take few requests."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from harness.errors import StoreError
from harness.execution.bucket_store import BucketStore
from harness.execution.garbage import find_garbage, remove
from harness.execution.integrity import check_used
from harness.execution.leases import Lease
from harness.execution.states import plan_states
from tests import buckets
from tests.execution.fake import CountingStage, plan_of, step
from tests.execution.on_bucket import opened, run_on


@pytest.fixture
def store(bucket_home: Path) -> BucketStore:
    return opened(bucket_home)


def _asked(store: BucketStore) -> Counter[str]:
    """Count what is asked of the server from now on."""
    found: Counter[str] = Counter()
    events = store._bucket._shared.client.meta.events
    events.register("before-call.s3", lambda model, **_: found.update([model.name]))
    return found


def test_an_upload_that_was_cut_short_leaves_nothing_that_counts(
    stage: CountingStage, bucket_home: Path, store: BucketStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = step("a")
    with monkeypatch.context() as patch:
        patch.setattr(BucketStore, "_put_record", lambda *_: _fail())
        assert "killed here" in run_on(store, plan_of(item)).failed[item.fingerprint]
    assert buckets.keys(bucket_home, "artifacts/") != []
    assert store.touched(["count"]) == set()
    assert not store.has("count", item.fingerprint)
    left = [one for one in find_garbage(store, {item.fingerprint}) if "-" in one.place[-20:]]
    assert {(one.kind, one.step) for one in left} == {("partial", item.fingerprint)}
    assert run_on(store, plan_of(item)).counts()["run"] == 1
    assert all(remove(store, one) for one in left)
    assert len(buckets.keys(bucket_home, "artifacts/")) == 1
    assert store.partials() == {}
    store.check("count", item.fingerprint)


def _fail() -> None:
    raise OSError("killed here")


def test_of_two_that_make_one_artifact_the_first_stays(
    stage: CountingStage,
    bucket_home: Path,
    store: BucketStore,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    item = step("a")
    made = CountingStage.run

    def overtaken(self: CountingStage, context: Any) -> None:
        stage.run = made.__get__(stage)  # type: ignore[method-assign]
        made(self, context)
        held = store.leases.held(item.fingerprint)
        assert held is not None
        store.leases.remove(held)
        buckets.become_machine(tmp_path / "second-machine", monkeypatch)
        run_on(opened(bucket_home), plan_of(item))
        first.append(store.record_text("count", item.fingerprint))

    first: list[bytes | None] = []
    stage.run = overtaken.__get__(stage)  # type: ignore[method-assign]
    with monkeypatch.context() as patch:
        patch.setattr(Lease, "check", lambda _: None)
        assert run_on(store, plan_of(item)).counts()["run"] == 1
    assert stage.runs["a"] == 2
    assert [store.record_text("count", item.fingerprint)] == first
    assert len(buckets.keys(bucket_home, "artifacts/")) == 1
    store.check("count", item.fingerprint)
    assert (store.fetch("count", item.fingerprint) / "text").read_text() == "a()"


def test_a_copy_that_changed_is_brought_again_and_the_artifact_stays(
    stage: CountingStage, store: BucketStore
) -> None:
    item = step("a")
    run_on(store, plan_of(item))
    text = store.folder("count", item.fingerprint) / "text"
    for harm in ("x()", "", None):
        text.unlink() if harm is None else text.write_text(harm)
        check_used(store, "count", item.fingerprint)
        assert text.read_text() == "a()"
    assert stage.runs["a"] == 1


@pytest.mark.parametrize("harm", ["cut short", "missing"])
def test_an_artifact_that_lacks_something_in_the_bucket_is_made_anew(
    harm: str, stage: CountingStage, bucket_home: Path, store: BucketStore
) -> None:
    item = step("a")
    run_on(store, plan_of(item))
    (key,) = buckets.keys(bucket_home, "artifacts/")
    if harm == "missing":
        buckets.remove(bucket_home, key)
    else:
        buckets.overwrite(bucket_home, key, b"a(")
    with pytest.raises(StoreError, match="missing or cut short") as caught:
        store.find("count", item.fingerprint)
    assert "--repair" in caught.value.cure
    assert run_on(store, plan_of(item)).counts()["run"] == 1
    store.check("count", item.fingerprint)
    assert len(buckets.keys(bucket_home, "artifacts/")) == 1
    assert stage.runs["a"] == 2


def test_files_of_a_record_cannot_lead_out_of_their_folder(
    stage: CountingStage, bucket_home: Path, store: BucketStore, tmp_path: Path
) -> None:
    item = step("a")
    run_on(store, plan_of(item))
    (key,) = buckets.keys(bucket_home, "records/")
    record = json.loads(store._bucket.read(key) or b"")
    record["files"] = {"../../../../stolen": record["files"]["text"]}
    buckets.overwrite(bucket_home, key, json.dumps(record).encode())
    store._shelves.forget("count")
    with pytest.raises(StoreError, match="leads out of it"):
        store.fetch("count", item.fingerprint)
    assert list(tmp_path.rglob("stolen")) == []


def test_the_state_of_many_steps_takes_no_more_requests_than_that_of_few(
    stage: CountingStage, bucket_home: Path, store: BucketStore
) -> None:
    few = plan_of(*(step(f"few {number}") for number in range(2)))
    many = plan_of(*(step(f"many {number}") for number in range(6)))
    run_on(store, few)
    plan_states(few, store)
    asked = _asked(store)
    plan_states(few, store)
    for_few = Counter(asked)
    run_on(store, many)
    plan_states(many, store)
    asked.clear()
    assert {one.state for one in plan_states(many, store)} == {"reuse"}
    assert asked == for_few
    assert asked.total() <= 6
