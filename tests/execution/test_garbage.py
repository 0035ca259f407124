"""What no study needs goes; what one needs, what runs, and what is unknown stays."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cli import gc
from harness.errors import StoreError
from harness.execution.garbage import find_garbage, needed_steps, remove
from harness.execution.noted import note_plan, noted
from harness.execution.runs import Runs
from harness.execution.store import ArtifactStore
from tests.execution.fake import CountingStage, diamond, plan_of, run, step


def _gc(home: Path, **options: object) -> None:
    gc.command(**{"home": home, "yes": True, "json": False, **options})  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path, stage: CountingStage) -> ArtifactStore:
    """A store with five steps done, of which the study needs two."""
    plan, steps = diamond()
    run(plan, tmp_path)
    note_plan(tmp_path, noted(plan_of(steps["a"], steps["b"])))
    return ArtifactStore(tmp_path)


def _labels(store: ArtifactStore) -> set[str]:
    return {(store.folder(stage, name) / "text").read_text()[0] for stage, name in store.names()}


def test_a_dry_run_shows_sizes_and_removes_nothing(
    store: ArtifactStore, capsys: pytest.CaptureFixture[str]
) -> None:
    _gc(store.home, dry_run=True)
    out = capsys.readouterr().out
    assert out.count("MiB") == 4
    assert "in 3 places" in out
    assert _labels(store) == set("abcde")


def test_what_the_study_needs_stays(store: ArtifactStore, stage: CountingStage) -> None:
    _gc(store.home)
    assert _labels(store) == {"a", "b"}
    run(diamond()[0], store.home)
    assert stage.runs == {"a": 1, "b": 1, "c": 2, "d": 2, "e": 2}


def test_what_a_run_or_a_lease_needs_stays(store: ArtifactStore) -> None:
    _, steps = diamond()
    own = Runs(store.home).begin(
        study="other", profile="", priority=0, cpus=1, gpus=0, steps={steps["c"].fingerprint}
    )
    _gc(store.home)
    assert _labels(store) == {"a", "b", "c"}
    own.end()
    needed = needed_steps(store)
    (last,) = find_garbage(store, needed)
    with store.leases.acquire(last.step) or pytest.fail("held"):
        assert not remove(store, last)
        with pytest.raises(StoreError, match="not known here is running"):
            needed_steps(store)
    assert _labels(store) == {"a", "b", "c"}


def test_nothing_goes_where_a_study_has_records_and_no_plan(store: ArtifactStore) -> None:
    folder = store.study_folder("older")
    folder.mkdir()
    (folder / "study.json").write_text("{}")
    with pytest.raises(StoreError, match="older"):
        _gc(store.home)
    assert _labels(store) == set("abcde")
    _gc(store.home, forget=["older"])
    assert _labels(store) == {"a", "b"}
    _gc(store.home, forget=["older", "fake"])
    assert _labels(store) == set()


def test_checkpoints_of_what_is_not_done_stay_and_leftovers_go(store: ArtifactStore) -> None:
    wanted, unwanted = step("wanted"), step("unwanted")
    done = step("a")
    note_plan(store.home, noted(plan_of(done, step("b", [done]), wanted)))
    for one in (wanted, unwanted, done):
        output, scratch = store.partial(one.fingerprint, "token")
        (output / "half").write_text("x" * 100)
        (scratch / "last").write_text("y" * 100)
    _gc(store.home)
    partial = store.home / "partial"
    assert [path.name for path in partial.iterdir()] == [wanted.fingerprint]
    assert [path.name for path in (partial / wanted.fingerprint).rglob("*")] == ["last"]


def test_what_a_step_is_writing_under_a_lease_stays(store: ArtifactStore) -> None:
    wanted = step("wanted")
    note_plan(store.home, noted(plan_of(wanted)))
    with store.leases.acquire(wanted.fingerprint) or pytest.fail("held") as lease:
        output, scratch = store.partial(wanted.fingerprint, lease.token)
        _gc(store.home)
        assert output.is_dir()
        assert scratch.is_dir()


def test_the_cache_loses_what_was_unused_for_longest(
    store: ArtifactStore, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = store.home / "cache" / "embeddings"
    folder.mkdir(parents=True)
    for age, name in enumerate(("new", "middle", "old")):
        (folder / name).write_bytes(b"x" * 1000)
        os.utime(folder / name, (1e9 - age, 1e9 - age))
    _gc(store.home, max_cache_gib=2500 / (1 << 30), json=True)
    assert {path.name for path in folder.iterdir()} == {"new", "middle"}
    found = json.loads(capsys.readouterr().out)
    assert {item["kind"] for item in found["items"]} == {"artifact", "cache"}


def test_what_a_search_made_since_it_was_noted_stays(store: ArtifactStore) -> None:
    (store.home / "search" / "fake").mkdir(parents=True)
    _gc(store.home)
    assert _labels(store) == set("abcde")
    note_plan(store.home, replace(noted(plan_of()), study="fake-search"))
    os.utime(store.study_folder("fake-search") / "plan.json", (4e9, 4e9))
    _gc(store.home)
    assert _labels(store) == {"a", "b"}
