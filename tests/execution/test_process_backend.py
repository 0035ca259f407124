"""Steps in processes of their own: what happens to one is told, and none outlives who started it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from harness.errors import HarnessError
from harness.execution.failures import FailureKind
from harness.execution.job import Job, Outcome
from harness.execution.journal import Journal
from harness.execution.machine import process_start
from harness.execution.process_backend import ProcessBackend, visible_devices
from harness.plan import Step
from tests.execution.stub import order, runs, stub_step

_SECONDS = 180.0


def _job(home: Path, step: Step) -> Job:
    return Job(step=step, study="s", home=str(home), inputs={})


@pytest.fixture
def backend() -> Iterator[ProcessBackend]:
    made = ProcessBackend(num_cpus=2, devices=["0", "1"])
    yield made
    made.close()


def _until(path: Path) -> list[int]:
    """Return the process numbers that a stub tells once it is where a test wants it."""
    end = time.monotonic() + _SECONDS
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.005)
    return [int(word) for word in path.read_text().split()]


def _assert_gone(processes: list[int]) -> None:
    end = time.monotonic() + _SECONDS
    while any(process_start(process) for process in processes):
        assert time.monotonic() < end, "an orphan is left"
        time.sleep(0.005)


def _outcome(backend: ProcessBackend) -> Outcome:
    while (heard := backend.wait(_SECONDS)) is None:
        pass
    return heard[1]


def test_every_end_of_a_step_is_told_with_its_kind(
    stub: Path, tmp_path: Path, backend: ProcessBackend
) -> None:
    kinds: dict[str, FailureKind] = {
        "exit": "error",
        "term": "preempted",
        "nan": "non-finite",
        "full": "disk",
        "cuda": "cuda-oom",
        "memory": "host-oom",
        "data": "data",
        "error": "error",
    }
    order(stub, {deed: [deed] for deed in kinds})
    steps = {deed: stub_step(deed) for deed in kinds}
    found = {}
    for deed, step in steps.items():
        backend.submit(_job(tmp_path, step))
        outcome = _outcome(backend)
        assert outcome.failure is not None
        found[deed] = outcome.failure.kind
    assert found == kinds
    events = Journal(tmp_path / "journal.jsonl").latest()
    for deed, step in steps.items():
        event = events[step.fingerprint]
        assert event.kind == ("preempted" if deed == "term" else "failed")
        assert event.failure == kinds[deed]
        assert event.signature
    nan = events[steps["nan"].fingerprint]
    assert "on pairs [4, 7]" in nan.message
    assert "[4, 7]" not in nan.signature


def test_a_worker_serves_many_steps_and_one_with_a_device_has_its_own(
    stub: Path, tmp_path: Path, backend: ProcessBackend
) -> None:
    order(stub, {name: ["wait"] for name in "abcd"})
    seen = {}
    for name, gpus in (("a", 0.0), ("b", 0.0), ("c", 1.0), ("d", 0.5)):
        backend.submit(_job(tmp_path, stub_step(name, gpus=gpus)))
        (seen[name],) = _until(stub / f"waits-{name}")
        (stub / f"go-{name}").touch()
        assert _outcome(backend).state == "done"
    assert seen["a"] == seen["b"]
    assert len(set(seen.values())) == 3
    _assert_gone([seen["c"], seen["d"]])


def _workers() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            found += [process] if "harness.execution.worker" in process.cmdline() else []
    return found


def test_workers_that_steps_will_need_are_up_before_their_first_step(
    stub: Path, tmp_path: Path, backend: ProcessBackend
) -> None:
    backend.expect([stub_step(name) for name in "abc"] + [stub_step("on a device", gpus=1)])
    assert [backend.wait(_SECONDS) for _ in range(2)] == [None, None]
    ahead = {inner.pid for worker in _workers() for inner in worker.children()}
    assert len(ahead) == 2, "no more than can be busy side by side"
    order(stub, {name: ["wait"] for name in "ab"})
    for name in "ab":
        backend.submit(_job(tmp_path, stub_step(name)))
    assert {_until(stub / f"waits-{name}")[0] for name in "ab"} == ahead


def test_workers_that_cannot_start_are_not_started_again_and_again(
    stub: Path, tmp_path: Path, backend: ProcessBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/usr/bin/env")
    backend.expect([stub_step("a"), stub_step("b")])
    while _workers():
        assert backend.wait(0.1) is None
    backend.submit(_job(tmp_path, stub_step("a")))
    failure = _outcome(backend).failure
    assert failure is not None
    assert "could not start" in failure.message


def test_devices_are_shared_in_fractions_and_kept_whole_where_that_can_be(
    stub: Path, tmp_path: Path, backend: ProcessBackend
) -> None:
    order(stub, {name: ["wait"] for name in "abc"})
    for name, gpus in (("a", 0.5), ("b", 0.5)):
        backend.submit(_job(tmp_path, stub_step(name, gpus=gpus)))
    assert backend.room.cpus == 0
    assert 1 <= backend.room.gpus < 2, "both halves are of one device"
    for name in "ab":
        (process,) = _until(stub / f"waits-{name}")
        environment = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
        assert b"CUDA_VISIBLE_DEVICES=0" in environment
    with pytest.raises(HarnessError, match="asks for 3 GPU, this machine has 2"):
        backend.submit(_job(tmp_path, stub_step("d", gpus=3)))


def test_cancelling_ends_a_step_with_all_that_it_started(
    stub: Path, tmp_path: Path, backend: ProcessBackend
) -> None:
    order(stub, {"a": ["hang"]})
    step = stub_step("a")
    backend.submit(_job(tmp_path, step))
    processes = _until(stub / "hangs-a")
    backend.cancel([step.fingerprint])
    _assert_gone(processes)
    assert backend.room.cpus == 2


def test_closing_ends_all_and_the_journal_says_that_it_was_from_outside(
    stub: Path, tmp_path: Path
) -> None:
    backend = ProcessBackend(num_cpus=1, devices=[])
    order(stub, {"a": ["hang"]})
    step = stub_step("a")
    backend.submit(_job(tmp_path, step))
    processes = _until(stub / "hangs-a")
    backend.close()
    _assert_gone(processes)
    assert Journal(tmp_path / "journal.jsonl").latest()[step.fingerprint].kind == "preempted"
    assert list((tmp_path / "leases").iterdir()) == []


_DRIVER = """
import sys
from pathlib import Path
from harness.execution.process_backend import ProcessBackend
from tests.execution.stub import stub_step
from tests.execution.test_process_backend import _job
backend = ProcessBackend(num_cpus=1, devices=[])
backend.submit(_job(Path(sys.argv[1]), stub_step("a")))
backend.wait()
"""


def test_no_process_outlives_a_driver_that_was_killed(stub: Path, tmp_path: Path) -> None:
    order(stub, {"a": ["hang"]})
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    driver = subprocess.Popen([sys.executable, "-c", _DRIVER, str(tmp_path)], env=environment)
    processes = _until(stub / "hangs-a")
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    _assert_gone(processes)


def test_a_worker_that_was_killed_from_outside_takes_its_group_along(
    stub: Path, tmp_path: Path, backend: ProcessBackend
) -> None:
    order(stub, {"a": ["hang"]})
    backend.submit(_job(tmp_path, stub_step("a")))
    processes = _until(stub / "hangs-a")
    os.kill(processes[0], signal.SIGKILL)
    outcome = _outcome(backend)
    assert outcome.failure is not None
    assert outcome.failure.kind in {"preempted", "host-oom"}
    _assert_gone(processes)
    backend.submit(_job(tmp_path, stub_step("a")))
    assert _outcome(backend).state == "done"
    assert runs(stub)["a"] == 2


def test_a_worker_whose_watching_half_was_killed_takes_its_group_along(
    stub: Path, tmp_path: Path, backend: ProcessBackend
) -> None:
    order(stub, {"a": ["hang"]})
    backend.submit(_job(tmp_path, stub_step("a")))
    processes = _until(stub / "hangs-a")
    os.kill(psutil.Process(processes[0]).ppid(), signal.SIGKILL)
    assert _outcome(backend).failure is not None
    _assert_gone(processes)


def test_a_worker_that_cannot_start_says_why(
    stub: Path, tmp_path: Path, backend: ProcessBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/usr/bin/env")
    backend.submit(_job(tmp_path, stub_step("a")))
    outcome = _outcome(backend)
    assert outcome.failure is not None
    assert "could not start" in outcome.failure.message


def test_visible_devices_are_what_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-abc")
    assert visible_devices() == ["3", "GPU-abc"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_devices() == []


def test_a_signature_is_alike_where_numbers_and_paths_differ(tmp_path: Path) -> None:
    from harness.execution.failures import describe_error

    first = describe_error(RuntimeError("row 17 of /a/b.jsonl, step 0a1b2c3d4e"))
    second = describe_error(RuntimeError("row 4 of /c.jsonl, step ffff0000aa"))
    assert first.signature == second.signature
    assert json.loads(json.dumps(first.signature)) != describe_error(ValueError("row 17")).signature
