"""A search over a real PostgreSQL: several drivers, kills, and one target."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.search.fake import FakeStages, edited, make_study, search

pytest.importorskip(
    "psycopg", reason="psycopg is not installed: pip install 'embedding-harness[postgres]'"
)


def _programs() -> Path:
    """Return the folder of PostgreSQL's programs; skips where there are none."""
    found = shutil.which("pg_ctl")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "pg_ctl").exists():
            return folder
    pytest.skip("PostgreSQL is not installed: apt-get install postgresql")


def _other_user() -> list[str]:
    """Return what runs a command as somebody else where the tests run as root: PostgreSQL refuses it."""
    if os.getuid() != 0:
        return []
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        if shutil.which("setpriv"):
            return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    pytest.skip("PostgreSQL does not run as root, and there is no other user or no setpriv")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a fresh PostgreSQL that listens on a free loopback port."""
    programs, prefix = _programs(), _other_user()
    with tempfile.TemporaryDirectory(prefix="pg") as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        Path(folder).chmod(0o777)
        data = f"{folder}/data"
        environment = {**os.environ, "LC_ALL": "C"}

        def run(*command: str) -> None:
            done = subprocess.run(
                [*prefix, *command],
                env=environment,
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                pytest.skip(f"{command[0]} does not work here: {done.stderr.strip()[-300:]}")

        run(
            str(programs / "initdb"),
            "-D",
            data,
            "-U",
            "tester",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
        )
        options = f"-c listen_addresses=127.0.0.1 -p {port} -k {folder} -c fsync=off"
        start = ("-D", data, "-o", options, "-l", f"{folder}/log", "-w", "start")
        run(str(programs / "pg_ctl"), *start)
        try:
            yield f"postgresql://tester@127.0.0.1:{port}/postgres"
        finally:
            run(str(programs / "pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop")


def test_drivers_share_one_target(postgres: str, stages: FakeStages, tmp_path: Path) -> None:
    study = make_study(tmp_path, edited("trials: 20", "trials: 16"))
    drivers = [
        threading.Thread(
            target=search, args=(study, tmp_path / "home"), kwargs={"storage": postgres, "workers": 2}
        )
        for _ in range(2)
    ]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    done = search(study, tmp_path / "home", storage=postgres)
    assert done.states == {"COMPLETE": 16}
    assert len(done.asks.splitlines()) == 16


def test_a_database_gives_the_same_batches_as_a_file(
    postgres: str, stages: FakeStages, tmp_path: Path
) -> None:
    study = make_study(
        tmp_path, edited("trials: 20", "trials: 12\n  batch: 4").replace("small", "other")
    )
    in_file = search(study, tmp_path / "first")
    in_database = search(study, tmp_path / "second", storage=postgres)
    assert in_database.asks == in_file.asks
    assert [t.values for t in in_database.ledger.trials()] == [t.values for t in in_file.ledger.trials()]
