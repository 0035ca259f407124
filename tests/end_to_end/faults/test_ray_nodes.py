"""A Ray node or worker that is killed in mid-step costs that step one more try, and nothing else."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from harness.execution.journal import Journal
from tests.end_to_end.faults.conftest import MODELS, ONCE, Bench, assert_gone, until

# Ray takes 127.0.0.1 for the machine's own address where a cluster has several nodes.
_HEAD, _SECOND = "127.0.0.2", "127.0.0.3"
_OPTIONS = [
    "--num-cpus=1",
    "--num-gpus=0",
    "--object-store-memory=100000000",
    "--block",
]
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
}


def _path() -> str:
    return os.pathsep.join(path for path in sys.path if path)


class Nodes:
    """Nodes of a cluster on loopback, each a `ray start` of its own."""

    def __init__(self) -> None:
        # Sockets lie below it, whose names must be short.
        self._folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
        with socket.socket() as free:
            free.bind((_HEAD, 0))
            self.address = f"{_HEAD}:{free.getsockname()[1]}"
        self._started: list[psutil.Process] = []

    def start(self) -> psutil.Process:
        """Start the head, or another node."""
        port = self.address.rpartition(":")[2]
        place = ["--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={self._folder}"]
        options = place if not self._started else [f"--address={self.address}"]
        options.append(f"--node-ip-address={_SECOND if self._started else _HEAD}")
        command = [str(Path(sys.executable).parent / "ray"), "start", *options, *_OPTIONS]
        with (Path(self._folder) / f"said-{len(self._started)}").open("w") as said:
            node = subprocess.Popen(
                command,
                env={**os.environ, "PYTHONPATH": _path()},
                stdout=said,
                stderr=said,
            )
        self._started.append(psutil.Process(node.pid))
        return self._started[-1]

    def kill(self, node: psutil.Process) -> None:
        """End what Ray runs on a node, and nothing that a step started, in the way of a power cut."""
        self._started.remove(node)
        ours = [node, *node.children(recursive=True)]
        for process in ours:
            if "harness.execution.worker" not in " ".join(_command(process)):
                _signal(process)
        psutil.wait_procs(ours, timeout=10)

    def close(self) -> None:
        for node in list(self._started)[::-1]:
            self.kill(node)
        shutil.rmtree(self._folder, ignore_errors=True)


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def _signal(process: psutil.Process) -> None:
    try:
        process.send_signal(signal.SIGKILL)
    except psutil.Error:
        return


@pytest.fixture
def nodes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    for name, value in _SETTINGS.items():
        monkeypatch.setenv(name, value)
    made = Nodes()
    yield made
    made.close()


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as caller:
        return caller.connect_ex((host, int(port))) == 0


def test_a_run_goes_on_without_a_node_that_was_killed(
    bench: Bench, undisturbed: dict[str, bytes], nodes: Nodes
) -> None:
    bench.order(contrast_0p02=["wait"], contrast_0p05=["wait"])
    nodes.start()
    until(lambda: _answers(nodes.address))
    second = nodes.start()
    driver = bench.start("ray", "--address", nodes.address)
    running = {model: bench.until(f"waits-{model}")[0] for model in MODELS}
    on_second = [
        model for model, process in running.items() if second in psutil.Process(process).parents()
    ]
    (lost,) = on_second
    nodes.kill(second)
    assert_gone([running[lost]])
    (kept,) = set(MODELS) - {lost}
    (bench.folder / f"go-{kept}").touch()
    _, said = driver.communicate()
    assert driver.returncode == 0, said
    assert "trying contrast" in said
    assert bench.tables() == undisturbed
    assert bench.runs() == ONCE + Counter([lost])


def test_a_run_goes_on_when_rays_own_worker_is_killed(
    bench: Bench, undisturbed: dict[str, bytes]
) -> None:
    bench.order(contrast_0p02=["hang"])
    driver = bench.start("ray")
    processes = bench.until("hangs-contrast-0.02")
    watching, ours, *_ = psutil.Process(processes[0]).parents()
    assert ours.name().startswith("ray::")
    ours.send_signal(signal.SIGKILL)
    assert_gone([*processes, watching.pid])
    _, said = driver.communicate()
    assert driver.returncode == 0, said
    assert said.count("trying contrast") == 1
    events = Journal(bench.store.home / "journal.jsonl").read()
    # Its step notes it as it ends, where it still can; the driver does in any case.
    assert {event.failure for event in events if event.kind not in {"started", "finished"}} == {
        "preempted"
    }
    assert bench.tables() == undisturbed
    assert bench.runs() == ONCE + Counter(["contrast-0.02"])
