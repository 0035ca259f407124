"""One process holds a step; a silent holder is replaced, and who was replaced publishes nothing."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from harness.execution import leases as module
from harness.execution.backends import InProcessBackend
from harness.execution.leases import Lease, LeaseLostError, Leases
from harness.execution.machine import is_gone, process_start, this_place
from harness.execution.session import Session
from harness.execution.store import ArtifactStore
from harness.execution.watching import Watch
from tests.execution.fake import CountingStage, plan_of, step, text_of

_HOLD_AND_DIE = """
import os, sys
from pathlib import Path
from harness.execution.leases import Leases
assert Leases(Path(sys.argv[1])).acquire("a") is not None
os._exit(1)
"""


def _taken(leases: Leases, name: str = "a", **options: bytes | None) -> Lease:
    lease = leases.acquire(name, **options)
    assert lease is not None
    return lease


def _of_another_machine(folder: Path) -> None:
    """Make the leases look as if a machine had made them of whose processes nothing is known here."""
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(this_place().encode(), b"elsewhere"))


def test_only_one_of_many_gets_a_lease_and_it_is_free_again_after(tmp_path: Path) -> None:
    leases = Leases(tmp_path)
    found: list[Lease | None] = []
    threads = [threading.Thread(target=lambda: found.append(leases.acquire("a"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (lease,) = [item for item in found if item is not None]
    assert leases.acquire("b") is not None
    lease.release()
    assert "a" not in leases.living()
    _taken(leases).release()


def test_a_folder_without_hard_links_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    lease = _taken(Leases(tmp_path))
    assert Leases(tmp_path).acquire("a") is None
    lease.release()
    assert list(tmp_path.iterdir()) == []


def test_a_holder_on_this_machine_that_died_is_replaced_at_once(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", _HOLD_AND_DIE, str(tmp_path)], check=False)
    held = Leases(tmp_path).held("a")
    assert held is not None
    assert held.is_dead
    assert Leases(tmp_path).living() == {}
    _taken(Leases(tmp_path)).release()


def test_a_process_number_that_was_given_out_again_is_another_process() -> None:
    assert not is_gone(this_place(), os.getpid(), process_start())
    assert is_gone(this_place(), os.getpid(), "12345")
    assert not is_gone("another machine", os.getpid(), "12345")


def test_a_silent_holder_elsewhere_expires_by_the_watchers_clock_alone(tmp_path: Path) -> None:
    leases = Leases(tmp_path, beat_seconds=1000)
    lease = _taken(leases)
    _of_another_machine(tmp_path)
    now = [100.0]
    watch = Watch(leases, expiry_seconds=60, clock=lambda: now[0])
    assert watch.look("a") == "held"
    now[0] += 59
    # A clock that went back, there or here, moves file times and nothing else.
    (path,) = tmp_path.iterdir()
    assert watch.look("a") == "held"
    with path.open("r+b") as file:
        file.seek(-5, os.SEEK_END)
        file.write(b"9")
    now[0] += 59
    assert watch.look("a") == "held", "its counter moved"
    now[0] += 59
    assert watch.look("a") == "held"
    now[0] += 1
    assert watch.look("a") == "expired"
    successor = _taken(leases, expired=watch.expired("a"))
    with pytest.raises(LeaseLostError, match="took this step over"):
        lease.check()
    successor.check()
    lease.release()
    assert leases.held("a") is not None, "who lost a lease does not end its successor's"
    successor.release()
    assert leases.held("a") is None


def test_a_living_holder_keeps_its_counter_moving(tmp_path: Path) -> None:
    leases = Leases(tmp_path, beat_seconds=0.001)
    with _taken(leases) as lease:
        first = leases.held("a")
        assert first is not None
        while (seen := leases.held("a")) is not None and seen.beat == first.beat:
            pass
        assert seen is not None
        assert leases.acquire("a", expired=first.beat) is None, "it gave a sign of life meanwhile"
        (path,) = tmp_path.iterdir()
        path.unlink()
        while not lease.is_lost:
            pass


def test_who_looked_before_a_successor_ended_looks_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases = Leases(tmp_path, beat_seconds=1000)
    stale = _taken(leases)
    held = leases.held("a")
    assert held is not None
    create = Leases._create

    def slow(self: Leases, name: str, generation: int) -> Lease | None:
        monkeypatch.setattr(module.Leases, "_create", create)
        _taken(leases, expired=held.beat).release()
        return create(self, name, generation)

    monkeypatch.setattr(module.Leases, "_create", slow)
    assert leases.acquire("a", expired=held.beat) is None
    assert leases.held("a") is None
    stale.release()


def test_a_step_in_flight_elsewhere_is_waited_for_and_not_repeated(
    stage: CountingStage, tmp_path: Path
) -> None:
    first, second = step("first"), step("second")
    plan = plan_of(first, second, step("after", [first]))
    events: list[str] = []
    store = ArtifactStore(tmp_path)
    other = _taken(store.leases, first.fingerprint)
    with Session(
        store,
        InProcessBackend,
        progress=lambda event, item, _: events.append(f"{event} {item.label}"),
        look_seconds=0.001,
    ) as session:
        session.add(plan)
        assert [ended.step.label for ended in session.advance()] == ["second"]
        assert session.advance(timeout=0.01) == []
        other.release()
        with Session(ArtifactStore(tmp_path), InProcessBackend) as elsewhere:
            elsewhere.add(plan_of(first))
            elsewhere.advance()
        while not session.is_idle:
            session.advance()
    assert set(stage.runs.values()) == {1}
    assert "elsewhere first" in events
    assert session.ended[first.fingerprint].state == "reused"


def test_a_step_whose_driver_fell_silent_is_taken_over(stage: CountingStage, tmp_path: Path) -> None:
    item = step("a")
    store = ArtifactStore(tmp_path)
    lost = _taken(store.leases, item.fingerprint)
    # A slow test would see its next sign of life, and the clock stands still.
    lost._pulse.remove(lost._beat)
    _of_another_machine(tmp_path / "leases")
    now = [0.0]
    watch = Watch(store.leases, expiry_seconds=60, clock=lambda: now[0])
    with Session(store, InProcessBackend, watch=watch, look_seconds=0.0) as session:
        session.add(plan_of(item))
        session.advance(timeout=0.01)
        now[0] += 61
        assert [ended.state for ended in session.advance()] == ["done"]
    lost.release()


def test_who_lost_the_lease_in_mid_step_publishes_nothing(stage: CountingStage, tmp_path: Path) -> None:
    item = step("a")
    store = ArtifactStore(tmp_path)
    taken: list[Lease] = []

    class Overtaken(CountingStage):
        def run(self, context: object) -> None:
            super().run(context)  # type: ignore[arg-type]
            if not taken:
                held = store.leases.held(item.fingerprint)
                assert held is not None
                taken.append(_taken(store.leases, item.fingerprint, expired=held.beat))

    overtaken = Overtaken()
    stage.run = overtaken.run  # type: ignore[method-assign]
    with Session(store, InProcessBackend, look_seconds=0.0) as session:
        session.add(plan_of(item))
        assert session.advance(timeout=0.01) == []
        assert not store.has("count", item.fingerprint)
        taken[0].release()
        assert [ended.state for ended in session.advance()] == ["done"]
    assert text_of(tmp_path, item) == "a()"
