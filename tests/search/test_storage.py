"""Storages open after a kill, and are refused where they would lose trials."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.search.storage import drop_torn_line, network_file_system, open_storage
from tests.search.fake import FakeStages, edited, make_study, search

MOUNTS = """\
/dev/root / ext4 rw 0 0
server:/export /data nfs4 rw 0 0
tank /data/local\\040disk zfs rw 0 0
//host/share /mnt/share cifs rw 0 0
"""


@given(
    st.lists(st.text(alphabet="ab\u00e9", max_size=20), max_size=5),
    st.text(alphabet="x\u00e9", max_size=9000),
)
def test_only_a_torn_end_is_cut(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], torn: str
) -> None:
    path = tmp_path_factory.mktemp("torn") / "log"
    whole = "".join(f"{line}\n" for line in lines)
    path.write_text(whole + torn, encoding="utf-8")
    drop_torn_line(path)
    assert path.read_text(encoding="utf-8") == whole


def test_optunas_own_file_is_unreadable_after_a_torn_line_and_ours_is_not(
    stages: FakeStages, tmp_path: Path
) -> None:
    """Without the repair, the next line would be glued to the torn one."""
    study = make_study(tmp_path, edited("trials: 20", "trials: 2"))
    search(study, tmp_path / "home")
    path = tmp_path / "home" / "search" / "small" / "optuna.log"
    with path.open("a") as file:
        file.write('{"op_code": 1')
    done = search(make_study(tmp_path, edited("trials: 20", "trials: 4")), tmp_path / "home")
    assert done.states == {"COMPLETE": 4}
    assert all(json.loads(line) for line in path.read_text().splitlines())


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/data/home", "nfs4"),
        ("/data", "nfs4"),
        ("/data/local disk/x", ""),
        ("/mnt/share/x", "cifs"),
        ("/database", ""),
    ],
)
def test_network_file_systems_are_known_by_their_mount(path: str, kind: str, tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    assert network_file_system(Path(path), mounts=mounts) == kind


def test_sqlite_on_a_network_file_system_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("harness.search.storage.network_file_system", lambda path: "nfs4")
    with pytest.raises(HarnessError, match="network file system"):
        open_storage(f"sqlite:///{tmp_path}/trials.db", tmp_path)


def test_sqlite_is_for_one_driver(stages: FakeStages, tmp_path: Path) -> None:
    from harness.search.opening import open_ledger

    url = f"sqlite:///{tmp_path}/trials.db"
    study = make_study(tmp_path, edited("trials: 20", "trials: 3"))
    done = search(study, tmp_path / "home", storage=url)
    assert done.states == {"COMPLETE": 3}
    with (
        open_ledger(done.cells, storage=url, tell=done.said.append),
        pytest.raises(HarnessError, match="another driver"),
    ):
        search(study, tmp_path / "home", storage=url)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://localhost", "no storage of the kind 'redis'"),
        ("postgresql://nobody:secret@127.0.0.1:9/none", "cannot be opened"),
    ],
)
def test_a_storage_that_cannot_be_had_is_told_without_its_password(
    url: str, message: str, tmp_path: Path
) -> None:
    if url.startswith("postgresql"):
        pytest.importorskip("psycopg", reason="psycopg is not installed: pip install psycopg[binary]")
    with pytest.raises(HarnessError, match=message) as caught:
        open_storage(url, tmp_path)
    assert "secret" not in str(caught.value)


def test_a_missing_driver_package_is_named_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pymysql", None)
    with pytest.raises(HarnessError, match="mysql needs a package") as caught:
        open_storage("mysql://localhost/trials", tmp_path)
    assert "embedding-harness[mysql]" in caught.value.cure
