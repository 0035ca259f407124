"""A study handed to a Ray cluster: asked for, followed, cancelled and finished from outside."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cli import cancel, logs, status, submit
from harness.errors import HarnessError
from harness.execution.submissions import is_loopback
from tests.end_to_end.faults.conftest import ONCE, Bench, assert_gone, until

Report = dict[str, bytes]


def _port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def cluster(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The job server of a cluster of one node, all of it on loopback and behind a token."""
    if importlib.util.find_spec("aiohttp_cors") is None:
        pytest.skip("Ray's job server needs ray[default]: pip install 'embedding-harness[cluster]'")
    for name, value in (
        ("RAY_AUTH_MODE", "token"),
        ("RAY_AUTH_TOKEN", secrets.token_hex(32)),
        ("RAY_USAGE_STATS_ENABLED", "0"),
        # What lets `ray start` listen on loopback alone; see harness/execution/ray_backend.py.
        ("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0"),
        ("PYTHONPATH", os.pathsep.join(path for path in sys.path if path)),
    ):
        monkeypatch.setenv(name, value)
    # Ray's sockets need a short path.
    folder = tempfile.mkdtemp(prefix="r")
    port = _port()
    command: list[str | Path] = [
        *(Path(sys.executable).parent / "ray", "start", "--head", "--block", "--disable-usage-stats"),
        *("--node-ip-address=127.0.0.1", f"--port={_port()}", "--num-cpus=2", "--num-gpus=0"),
        *("--include-dashboard=true", "--dashboard-host=127.0.0.1", f"--dashboard-port={port}"),
        *(f"--dashboard-agent-listen-port={_port()}", f"--metrics-export-port={_port()}"),
        *("--object-store-memory=80000000", f"--temp-dir={folder}"),
    ]
    head = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        until(lambda: _answers(port))
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(head.pid, signal.SIGKILL)
        head.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False


def test_a_submitted_study_is_cancelled_goes_on_and_ends_with_the_same_bytes(
    bench: Bench,
    undisturbed: Report,
    cluster: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(bench.folder)
    home = bench.store.home
    bench.order(contrast_0p02=["hang", "wait"])

    def handed_over() -> str:
        capsys.readouterr()
        until(is_taken)
        return capsys.readouterr().out.strip()

    def is_taken() -> bool:
        # Ray's server answers before it can start anything.
        with contextlib.suppress(HarnessError):
            submit.command("faulty.yaml", address=cluster, home=home)
            return True
        return False

    first = handed_over()
    processes = bench.until("hangs-contrast-0.02")
    status.command(first, home=home)
    said = capsys.readouterr()
    assert f"{first} at {cluster}: running" in said.err
    assert "running      contrast-" in said.out
    cancel.command(first, home=home)
    assert_gone(processes)
    logs.command(first, follow=True, home=home)
    cancel.command(first, home=home)
    assert "it had ended" in capsys.readouterr().err
    lost = bench.unfinished()

    second = handed_over()
    bench.until("waits-contrast-0.02")
    (bench.folder / "go-contrast-0.02").touch()
    logs.command(second, follow=True, home=home)
    assert "done evaluate-" in capsys.readouterr().out
    status.command(second, home=home)
    assert f"{second} at {cluster}: succeeded" in capsys.readouterr().err
    assert bench.tables() == undisturbed
    assert lost["contrast-0.02"] == 1
    assert bench.runs() == ONCE + lost


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("head:8265", "not the address of a job server"),
        ("http://127.0.0.1:1", "no Ray cluster takes jobs at http://127.0.0.1:1"),
    ],
)
def test_an_address_where_nobody_takes_jobs_is_told(address: str, said: str, bench: Bench) -> None:
    with pytest.raises(HarnessError, match=said):
        submit.command(str(bench.folder / "faulty.yaml"), address=address, home=bench.store.home)
    assert not bench.store.home.exists()


def test_another_machine_is_said_to_be_one(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(HarnessError, match="no Ray cluster takes jobs"):
        submit.command(str(bench.folder / "faulty.yaml"), address="http://gone.invalid:8265")
    assert "beyond this machine" in capsys.readouterr().err
    assert is_loopback("http://[::1]:8265")
    assert not is_loopback("http://10.0.0.1:8265")
