"""Checkpoints of a step in flight go from machine to machine, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.execution.bucket import Bucket
from harness.execution.bucket_store import BucketStore
from harness.execution.leases import Lease, LeaseLostError
from harness.plan import Step
from tests import buckets
from tests.execution.fake import CountingStage, step
from tests.execution.on_bucket import opened


def _held(store: BucketStore, item: Step) -> Lease:
    lease = store.leases.acquire(item.fingerprint)
    assert lease is not None
    return lease


@pytest.fixture
def two_machines(
    stage: CountingStage, bucket_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[BucketStore, BucketStore]:
    first = opened(bucket_home)
    buckets.become_machine(tmp_path / "second-machine", monkeypatch)
    return first, opened(bucket_home)


def _scratch(store: BucketStore, item: Step) -> Path:
    _, scratch = store.partial(item.fingerprint, "token")
    return scratch


def _share(store: BucketStore, item: Step, lease: Lease) -> None:
    store.sharing("count", item.fingerprint, lease)
    store._checkpoints[item.fingerprint].share(lease)


def _files(folder: Path) -> dict[str, str]:
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in paths}


def test_checkpoints_go_to_another_machine_and_back_and_files_in_the_making_stay(
    two_machines: tuple[BucketStore, BucketStore],
) -> None:
    item = step("a")
    first, second = two_machines
    with _held(first, item) as lease:
        scratch = _scratch(first, item)
        (scratch / "step-1").mkdir()
        (scratch / "step-1" / "state").write_text("one" * (1 << 19))
        (scratch / "curves").write_text("1")
        (scratch / ".aside").mkdir()
        (scratch / ".aside" / "state").write_text("half")
        _share(first, item, lease)
        (scratch / "curves").write_text("1 2, which nobody was told")
    assert _files(_scratch(first, item))["curves"] == "1 2, which nobody was told", "its own are newer"
    with _held(second, item) as lease:
        there = _scratch(second, item)
        assert _files(there) == {"step-1/state": "one" * (1 << 19), "curves": "1"}
        (there / "step-1" / "state").rename(there / "step-2")
        _share(second, item, lease)
    assert set(_files(_scratch(first, item))) == {"step-2", "curves"}
    assert second.partials()[item.fingerprint] > 0


def test_what_changed_while_it_was_taken_is_not_shared(
    two_machines: tuple[BucketStore, BucketStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    item = step("a")
    first, second = two_machines
    with _held(first, item) as lease:
        scratch = _scratch(first, item)
        (scratch / "a").write_text("1")
        (scratch / "b").write_text("1")
        _share(first, item, lease)
        with monkeypatch.context() as patch:
            upload = Bucket.upload

            def cut_short(self: Bucket, path: Path, name: str) -> None:
                upload(self, path, name)
                raise OSError("killed here")

            patch.setattr(Bucket, "upload", cut_short)
            (scratch / "a").write_text("22")
            (scratch / "b").write_text("22")
            with pytest.raises(OSError, match="killed here"):
                _share(first, item, lease)
        assert _files(_scratch(second, item)) == {"a": "1", "b": "1"}
        look = first._checkpoints[item.fingerprint]._take

        def slow(seen: Any) -> bool:
            taken = look(seen)
            (scratch / "b").write_text("333")
            return taken

        checkpoints = first._checkpoints[item.fingerprint]
        monkeypatch.setattr(checkpoints, "_take", slow)
        checkpoints.share(lease)
    assert _files(_scratch(second, item)) == {"a": "1", "b": "1"}


def test_damaged_checkpoints_cost_time_alone(
    two_machines: tuple[BucketStore, BucketStore], bucket_home: Path
) -> None:
    item = step("a")
    first, second = two_machines
    with _held(first, item) as lease:
        (_scratch(first, item) / "a").write_text("1")
        _share(first, item, lease)
    for key in buckets.keys(bucket_home, "partial/"):
        if not key.endswith("manifest.json"):
            buckets.overwrite(bucket_home, key, b"2")
    assert _files(_scratch(second, item)) == {}
    for manifest in ({"../../stolen": "0" * 64}, {"a": "0" * 64}, ["a"]):
        text = json.dumps(manifest).encode()
        buckets.overwrite(bucket_home, f"partial/{item.fingerprint}/manifest.json", text)
        assert _files(_scratch(second, item)) == {}


def test_who_lost_a_step_does_not_replace_its_successors_checkpoints(
    two_machines: tuple[BucketStore, BucketStore],
) -> None:
    item = step("a")
    first, second = two_machines
    lost = _held(first, item)
    (_scratch(first, item) / "a").write_text("1")
    held = first.leases.held(item.fingerprint)
    assert held is not None
    with second.leases.acquire(item.fingerprint, expired=held.beat) or pytest.fail("held") as lease:
        (_scratch(second, item) / "a").write_text("22")
        _share(second, item, lease)
        with pytest.raises(LeaseLostError):
            _share(first, item, lost)
    lost.release()
    assert _files(_scratch(first, item)) == {"a": "22"}
