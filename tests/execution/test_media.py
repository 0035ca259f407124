"""What a store promises, whatever it lies on: each test runs on a folder and in a bucket."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from harness.execution.backends import InProcessBackend
from harness.execution.ends import Progress
from harness.execution.garbage import find_garbage, needed_steps, remove
from harness.execution.homes import open_store
from harness.execution.integrity import damaged
from harness.execution.journal import JOURNAL_NAME, Journal
from harness.execution.leases import Lease, LeaseLostError, Leases
from harness.execution.machine import this_place
from harness.execution.naming import find_step
from harness.execution.noted import forget_plans, note_plan, noted, noted_plans, read_noted
from harness.execution.overview import look_over
from harness.execution.runner import RunSummary, run_plan
from harness.execution.runs import Ask, Runs
from harness.execution.session import Session
from harness.execution.states import plan_states
from harness.execution.store import ArtifactStore
from harness.execution.submissions import find_submission
from harness.execution.watching import Watch
from harness.plan import Plan
from tests import buckets
from tests.execution.fake import CountingStage, diamond, plan_of, step


@pytest.fixture(params=["folder", "bucket"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "folder":
        return tmp_path / "store"
    found: Path = request.getfixturevalue("bucket_home")
    return found


@pytest.fixture
def store(home: Path) -> ArtifactStore:
    return open_store(home)


def _quiet(*_: Any) -> None:
    return


def _run(plan: Plan, store: ArtifactStore, progress: Progress = _quiet) -> RunSummary:
    return run_plan(plan, store, InProcessBackend, progress=progress)


def _leases(store: ArtifactStore, **more: float) -> Leases:
    return Leases(store.location.below("leases").marks(), **more)


def _taken(leases: Leases, **options: bytes | None) -> Lease:
    lease = leases.acquire("a", **options)
    assert lease is not None
    return lease


def _harm(store: ArtifactStore, home: Path, stage: str, name: str) -> None:
    """Change a byte of an artifact's only file, behind the store's back."""
    if (folder := home / "artifacts" / stage / name).is_dir():
        (folder / "text").write_text("x" * (folder / "text").stat().st_size)
        return
    (key,) = buckets.keys(home, f"artifacts/{stage}/{name}/")
    buckets.overwrite(home, key, b"x" * len((store.fetch(stage, name) / "text").read_bytes()))


def test_a_file_is_as_it_was_last_written_and_is_found_by_its_name(store: ArtifactStore) -> None:
    place = store.location.below("here")
    assert place.read("a/b.json") is None
    assert not place.has("a/b.json")
    for content in (b"1", b"", b"2"):
        place.write("a/b.json", content)
        assert place.read("a/b.json") == content
    place.write("a/c/d.json", b"")
    place.write("e.json", b"")
    assert place.names("*/*.json") == ["a/b.json"]
    assert place.names("a/b*") == ["a/b.json"]
    assert store.location.read("here/a/b.json") == b"2"
    place.remove("a/b.json")
    place.remove("a/b.json")
    assert not place.has("a/b.json")


def test_lines_of_several_writers_are_all_there_in_their_order(home: Path, store: ArtifactStore) -> None:
    log = store.location.log(JOURNAL_NAME)
    assert list(log.lines()) == []
    for number in range(3):
        log.append(b"%d" % number)
    # As a process that ended leaves them.
    if home.parts[0] == "s3:":
        store.location.log(JOURNAL_NAME)._segment.name = ""  # type: ignore[attr-defined]
    for number in range(3, 6):
        store.location.log(JOURNAL_NAME).append(b"%d" % number)
    assert list(log.lines()) == [b"%d" % number for number in range(6)]


def test_only_one_of_many_gets_a_lease_and_it_is_free_again_after(store: ArtifactStore) -> None:
    leases = _leases(store)
    found: list[Lease | None] = []
    threads = [threading.Thread(target=lambda: found.append(leases.acquire("a"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (lease,) = [item for item in found if item is not None]
    assert leases.acquire("a") is None
    assert leases.acquire("b") is not None
    lease.release()
    assert "a" not in leases.living()
    _taken(leases).release()


def test_a_silent_holder_is_replaced_and_its_late_beat_changes_nothing(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases = _leases(store, beat_seconds=1000)
    with monkeypatch.context() as patch:
        patch.setattr("harness.execution.leases.this_place", lambda: f"not {this_place()}")
        lease = _taken(leases)
    now = [100.0]
    watch = Watch(leases, expiry_seconds=60, clock=lambda: now[0])
    assert watch.look("a") == "held"
    now[0] += 59
    lease._beat()
    assert watch.look("a") == "held", "its counter moved"
    now[0] += 59
    assert watch.look("a") == "held"
    now[0] += 1
    assert watch.look("a") == "expired"
    lease.check()
    successor = _taken(leases, expired=watch.expired("a"))
    lease._beat()
    assert lease.is_lost
    with pytest.raises(LeaseLostError, match="took this step over"):
        lease.check()
    lease.release()
    successor.check()
    assert (held := leases.held("a")) is not None
    assert held.generation == 2
    successor.release()
    assert leases.held("a") is None


def test_every_step_runs_once_and_whoever_opens_the_store_next_reuses_it(
    stage: CountingStage, home: Path, store: ArtifactStore
) -> None:
    plan, steps = diamond()
    assert _run(plan, store).counts()["run"] == 5
    again = open_store(home)
    assert {one.state for one in plan_states(plan, again)} == {"reuse"}
    assert _run(plan, again).counts() == {"run": 0, "reused": 5, "failed": 0, "skipped": 0}
    assert set(stage.runs.values()) == {1}
    last = steps["d"].fingerprint
    assert (again.fetch("count", last) / "text").read_text() == "d(b(a()),c(a()))"
    assert (record := again.find("count", last)) is not None
    assert record.sizes == {"text": 16}
    assert again.num_bytes("count", last) >= 16
    assert "ran d, fresh" in again.fetch_log("count", last).read_text()
    assert find_step(again, last[:12]).fingerprint == last
    kinds = [event.kind for event in Journal(again.location.log(JOURNAL_NAME)).read()]
    assert kinds == ["started", "finished"] * 5


def test_a_step_that_failed_goes_on_from_what_it_left(
    stage: CountingStage, store: ArtifactStore
) -> None:
    item = step("a")
    stage.failing = {"a"}
    assert _run(plan_of(item), store).counts()["failed"] == 1
    (planned,) = plan_states(plan_of(item), store)
    assert planned.reason == "failed last time: a cannot be had"
    stage.failing = set()
    assert _run(plan_of(item), store).counts()["run"] == 1
    said = store.fetch_log("count", item.fingerprint).read_text()
    assert said.index("cannot be had") < said.index("ran a, resumed")
    assert store.partials() == {}


def test_what_is_damaged_is_found_and_made_anew_with_the_same_bytes(
    stage: CountingStage,
    home: Path,
    store: ArtifactStore,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    plan, steps = diamond()
    _run(plan, store)
    _harm(store, home, "count", steps["a"].fingerprint)
    if home.parts[0] == "s3:":
        # This machine's copy is whole: another one's would have to come from the bucket.
        buckets.become_machine(tmp_path / "second-machine", monkeypatch)
        store = open_store(home)
    (found,) = [one for one in damaged(store) if one is not None]
    assert found.name == steps["a"].fingerprint
    assert "content changed" in found.message
    events: list[str] = []
    after = step("after", [steps["a"]])
    grown = plan_of(*plan.steps.values(), after)
    assert (
        _run(grown, store, lambda event, item, _: events.append(f"{event} {item.label}")).counts()["run"]
        == 2
    )
    assert "rebuilt a" in events
    assert stage.runs["a"] == 2
    assert [one for one in damaged(store) if one is not None] == []
    assert (store.fetch("count", after.fingerprint) / "text").read_text() == "after(a())"


def test_a_step_in_flight_elsewhere_is_waited_for_and_not_repeated(
    stage: CountingStage, home: Path, store: ArtifactStore
) -> None:
    item = step("a")
    other = store.leases.acquire(item.fingerprint)
    assert other is not None
    with Session(store, InProcessBackend, look_seconds=0.001) as session:
        session.add(plan_of(item))
        assert session.advance(timeout=0.01) == []
        assert look_over(noted(plan_of(item)), store).counts["running"] == 1
        other.release()
        _run(plan_of(item), open_store(home))
        ended = []
        while not session.is_idle:
            ended += session.advance()
    assert [one.state for one in ended] == ["reused"]
    assert stage.runs["a"] == 1


def test_runs_see_each_other_and_hear_what_is_asked(home: Path, store: ArtifactStore) -> None:
    own = Runs(store.location).begin(
        study="s", profile="", priority=2, cpus=float("inf"), gpus=1, steps={"a", "b"}
    )
    others = Runs(open_store(home).location)
    (seen,) = others.living()
    assert (seen.study, seen.priority, seen.gpus) == ("s", 2, 1)
    assert seen.steps == {"a", "b"}
    assert not others.is_short(seen)
    own.show_short(True)
    assert others.is_short(seen)
    ask = Ask(verb="cancel", steps=frozenset({"a"}), why="a test")
    others.ask(seen, ask)
    assert not others.is_to_end(seen)
    whole = Ask(verb="cancel", steps=None, why="a test")
    others.ask(seen, whole)
    # In an order of no meaning; the ask is seen as long as it is obeyed.
    taken = {one.steps: others.is_to_end(seen) for one in own.take_asks()}
    assert taken[None]
    assert taken.keys() == {None, ask.steps}
    assert not others.is_to_end(seen)
    assert list(own.take_asks()) == []
    own.end()
    assert others.living() == []
    assert store.location.below("runs").names("*") == []


def test_noted_plans_say_what_stays_and_the_rest_can_go(
    stage: CountingStage, home: Path, store: ArtifactStore
) -> None:
    plan, steps = diamond()
    _run(plan, store)
    stage.failing = {"f", "g"}
    wanted, unwanted = step("f"), step("g")
    _run(plan_of(wanted, unwanted), store)
    note_plan(store.location, noted(plan_of(steps["a"], steps["b"], wanted)))
    assert [one.study for one in noted_plans(store.location)] == ["fake"]
    assert read_noted(store.location, "gone") is None
    assert find_submission(store.location, "gone") is None
    counts = look_over(noted(plan), open_store(home)).counts
    assert counts["done"] == 5
    found = find_garbage(store, needed_steps(store))
    assert all(remove(store, one) for one in found)
    assert {name for _, name in store.names()} == {steps["a"].fingerprint, steps["b"].fingerprint}
    assert list(store.partials()) == [wanted.fingerprint]
    forget_plans(store.location, "fake")
    assert {one.step for one in find_garbage(store, needed_steps(store))} >= {steps["a"].fingerprint}


def test_the_records_of_a_study_are_seen_by_all(
    home: Path, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = store.study_folder("s")
    folder.mkdir(parents=True)
    (folder / "records.jsonl").write_text("1\n")
    (folder / "study.json").write_text("{}")
    store.share_study("s")
    if home.parts[0] == "s3:":
        buckets.become_machine(tmp_path / "second-machine", monkeypatch)
    other = open_store(home)
    assert (other.fetch_studies("s", "gone") / "s" / "records.jsonl").read_text() == "1\n"
    assert other.location.names("studies/*/study.json") == ["studies/s/study.json"]
    shutil.rmtree(other.fetch_studies("s"))
