"""Downloads run against a hub on loopback: `tests/data/fake_hub.py`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.data.mirrors import Entry, Needed, check_needs, check_repository, read_manifest
from harness.data.prefetch import prefetch
from harness.errors import DataError
from tests.data.fake_hub import COMMIT, FakeHub, serve

DATASET = Needed(kind="dataset", name="mteb/sts", revision="abc", wanted_by=("STS",))
MODEL = Needed(kind="model", name="org/model", revision="main", wanted_by=("tiny",))
_LARGE = bytes(range(256)) * 200


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    repositories = {
        "datasets/mteb/sts": {
            ".gitattributes": b"x",
            "README.md": b"---\nlicense: cc-by-4.0\n---\n",
            "data/test.jsonl.gz": _LARGE,
            "sts.py": b"raise SystemExit",
        },
        "org/model": {
            "config.json": b"{}",
            "tokenizer.json": b"{ }",
            "model.safetensors": _LARGE,
            "pytorch_model.bin": b"pickle",
            "modeling.py": b"raise SystemExit",
        },
    }
    with serve(repositories) as running:
        yield running


def _bring(hub: FakeHub, mirror: Path, *needs: Needed) -> dict[str, Entry]:
    return prefetch(needs or (DATASET, MODEL), mirror, endpoint=hub.url)


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_data_weights_and_tokenizers_come_and_neither_code_nor_pickles(
    hub: FakeHub, tmp_path: Path
) -> None:
    _bring(hub, tmp_path)
    assert _files(tmp_path / "mteb/sts") == {"README.md", "data/test.jsonl.gz"}
    assert _files(tmp_path / "org/model") == {"config.json", "tokenizer.json", "model.safetensors"}
    assert (tmp_path / "mteb/sts/data/test.jsonl.gz").read_bytes() == _LARGE


def test_the_manifest_says_revision_sizes_and_hashes(hub: FakeHub, tmp_path: Path) -> None:
    brought = _bring(hub, tmp_path)
    assert read_manifest(tmp_path) == brought
    entry = json.loads((tmp_path / "manifest.json").read_text())["repositories"]["mteb/sts"]
    assert (entry["kind"], entry["revision"], entry["commit"]) == ("dataset", "abc", COMMIT)
    assert entry["files"]["data/test.jsonl.gz"]["size"] == len(_LARGE)
    check_repository(tmp_path, "mteb/sts")
    check_needs([DATASET, MODEL], [tmp_path], command="")


def test_nothing_is_fetched_twice(hub: FakeHub, tmp_path: Path) -> None:
    _bring(hub, tmp_path)
    before = dict(hub.fetched)
    assert set(before.values()) == {1}
    _bring(hub, tmp_path)
    assert hub.fetched == before
    # Without its manifest the mirror is taken for what its bytes say.
    (tmp_path / "manifest.json").unlink()
    _bring(hub, tmp_path)
    assert hub.fetched == before


def test_another_revision_fetches_what_changed(hub: FakeHub, tmp_path: Path) -> None:
    _bring(hub, tmp_path, DATASET)
    hub.repositories["datasets/mteb/sts"]["README.md"] = b"new"
    newer = Needed(kind="dataset", name="mteb/sts", revision="def")
    _bring(hub, tmp_path, newer)
    assert hub.fetched["datasets/mteb/sts/README.md"] == 2
    assert hub.fetched["datasets/mteb/sts/data/test.jsonl.gz"] == 1
    check_needs([newer], [tmp_path], command="")
    with pytest.raises(DataError, match="there at revision def, needed at abc"):
        check_needs([DATASET], [tmp_path], command="")


def test_a_repository_that_fails_takes_no_other_with_it_and_the_next_try_goes_on(
    hub: FakeHub, tmp_path: Path
) -> None:
    hub.wrong.add("org/model/model.safetensors")
    gone = Needed(kind="dataset", name="mteb/gone", revision="x")
    with pytest.raises(DataError, match="2 of 3 repositories could not be brought") as caught:
        _bring(hub, tmp_path, gone, MODEL, DATASET)
    assert "mteb/gone (dataset) at x" in caught.value.message
    assert "model.safetensors arrived damaged" in caught.value.message
    assert set(read_manifest(tmp_path)) == {"mteb/sts"}
    assert not (tmp_path / "org" / "model").exists()
    hub.wrong.clear()
    _bring(hub, tmp_path)
    assert hub.fetched["org/model/config.json"] == 1
    assert hub.fetched["org/model/model.safetensors"] == 2
    check_repository(tmp_path, "org/model")


def test_a_connection_that_breaks_is_taken_up_again(hub: FakeHub, tmp_path: Path) -> None:
    hub.broken.add("org/model/model.safetensors")
    _bring(hub, tmp_path, MODEL)
    assert (tmp_path / "org/model/model.safetensors").read_bytes() == _LARGE


def test_a_changed_file_is_fetched_anew(hub: FakeHub, tmp_path: Path) -> None:
    _bring(hub, tmp_path)
    path = tmp_path / "mteb/sts/data/test.jsonl.gz"
    path.write_bytes(bytes(reversed(_LARGE)))
    _bring(hub, tmp_path)
    assert path.read_bytes() == _LARGE
    assert hub.fetched["datasets/mteb/sts/data/test.jsonl.gz"] == 2
    assert hub.fetched["datasets/mteb/sts/README.md"] == 1


def test_a_hub_that_does_not_answer_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="mteb/sts"):
        prefetch([DATASET], tmp_path, endpoint="http://127.0.0.1:9")
