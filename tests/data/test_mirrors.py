from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from harness.data.mirrors import (
    Entry,
    FileEntry,
    Needed,
    check_needs,
    check_repository,
    digest_of,
    faults,
    write_manifest,
)
from harness.errors import DataError

NEED = Needed(kind="dataset", name="org/data", revision="r", wanted_by=("A", "B", "C", "D"))


def _entry(content: bytes) -> Entry:
    digest = hashlib.sha256(content).hexdigest()
    return Entry(revision="r", files={"test.jsonl": FileEntry(size=len(content), sha256=digest)})


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    (tmp_path / "org" / "data").mkdir(parents=True)
    (tmp_path / "org" / "data" / "test.jsonl").write_bytes(b"content")
    write_manifest(tmp_path, {"org/data": _entry(b"content")})
    return tmp_path


def test_what_is_as_promised_passes(mirror: Path) -> None:
    check_repository(mirror, "org/data")
    check_needs([NEED], [mirror], command="")


@pytest.mark.parametrize(
    ("damage", "said"),
    [(b"Content", "was changed"), (b"cut", "has 3 bytes and not 7"), (None, "is missing")],
)
def test_damage_is_refused(mirror: Path, damage: bytes | None, said: str) -> None:
    check_repository(mirror, "org/data")
    path = mirror / "org" / "data" / "test.jsonl"
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    with pytest.raises(DataError, match=said):
        check_repository(mirror, "org/data")
    # A plan looks at sizes; contents are read when they are used.
    assert list(faults(mirror, "org/data", contents=False)) == [
        one for one in faults(mirror, "org/data", contents=True) if "changed" not in one
    ]


def test_a_file_is_hashed_once_until_it_is_touched(
    mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def counted(path: Path) -> str:
        read.append(path)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr("harness.data.mirrors.file_sha256", counted)
    path = mirror / "org" / "data" / "test.jsonl"
    for _ in range(3):
        check_repository(mirror, "org/data")
    assert read == [path]
    path.write_bytes(b"another content")
    assert digest_of(path) == hashlib.sha256(b"another content").hexdigest()
    assert read == [path, path]


def test_a_repositorys_own_manifest_counts_where_it_has_hashes(tmp_path: Path) -> None:
    folder = tmp_path / "org" / "data"
    folder.mkdir(parents=True)
    (folder / "a").write_bytes(b"content")
    promised = {"a": {"sha256": hashlib.sha256(b"content").hexdigest(), "bytes": 7}}
    (folder / "manifest.json").write_text(json.dumps({"files": promised}))
    check_repository(tmp_path, "org/data")
    (folder / "a").write_bytes(b"Content")
    with pytest.raises(DataError, match="a was changed"):
        check_repository(tmp_path, "org/data")
    for other in ('{"files": ["a"]}', "[1]", "{}", "no json"):
        (folder / "manifest.json").write_text(other)
        check_repository(tmp_path, "org/data")


def test_all_that_is_missing_is_said_at_once_with_the_command_that_brings_it(mirror: Path) -> None:
    needs = [
        NEED,
        Needed(kind="model", name="org/gone", revision="r", wanted_by=("tiny",)),
        Needed(kind="dataset", name="../org/data", revision="r"),
        Needed(kind="dataset", name="org/data", revision="another", wanted_by=("A", "B", "C", "D")),
    ]
    with pytest.raises(DataError) as caught:
        check_needs(needs, [mirror], command="harness prefetch S --to M")
    assert "3 of 4 repositories" in caught.value.message
    assert "org/gone (model): missing (for tiny)" in caught.value.message
    assert "at revision r, needed at another (for A, B, C and 1 more)" in caught.value.message
    assert "harness prefetch S --to M" in caught.value.cure


def test_without_mirrors_nothing_is_checked() -> None:
    check_needs([NEED], [], command="")


def test_a_manifest_that_is_none_is_refused(mirror: Path) -> None:
    (mirror / "manifest.json").write_text('{"repositories": {"org/data": {"files": 1}}}')
    with pytest.raises(DataError, match="not the manifest of a mirror"):
        check_repository(mirror, "org/data")
