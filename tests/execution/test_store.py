"""An artifact is there whole or not at all, and damage is told with a cure."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.execution.artifact_record import RECORD_NAME
from harness.execution.journal import Journal
from harness.execution.states import plan_states
from harness.execution.store import ArtifactStore
from tests.execution.fake import CountingStage, diamond, run, text_of


def test_the_record_beside_an_artifact_holds_what_it_was_made_from(
    stage: CountingStage, tmp_path: Path
) -> None:
    plan, steps = diamond()
    run(plan, tmp_path)
    store = ArtifactStore(tmp_path)
    record = store.find("count", steps["b"].fingerprint)
    assert record is not None
    assert record.payload == {
        "stage": "count",
        "version": 1,
        "config": {"name": "b"},
        "inputs": {"input0": steps["a"].fingerprint},
    }
    assert set(record.files) == {"text"}
    assert not (tmp_path / "partial" / steps["b"].fingerprint).exists()


def test_work_without_a_record_is_no_artifact(stage: CountingStage, tmp_path: Path) -> None:
    plan, steps = diamond()
    run(plan, tmp_path)
    store = ArtifactStore(tmp_path)
    (store.folder("count", steps["a"].fingerprint) / RECORD_NAME).unlink()
    assert store.find("count", steps["a"].fingerprint) is None


def test_damage_is_told_with_the_file_and_the_cure(stage: CountingStage, tmp_path: Path) -> None:
    plan, steps = diamond()
    run(plan, tmp_path)
    store = ArtifactStore(tmp_path)
    name = steps["a"].fingerprint
    folder = store.folder("count", name)
    (folder / "text").write_text("b()")
    store.find("count", name)
    with pytest.raises(StoreError, match="text: content changed"):
        store.check("count", name)
    (folder / "text").unlink()
    with pytest.raises(StoreError, match="text: missing or cut short"):
        store.find("count", name)
    record = json.loads((folder / RECORD_NAME).read_text())
    record["payload"]["config"]["name"] = "other"
    (folder / RECORD_NAME).write_text(json.dumps(record))
    with pytest.raises(StoreError, match="another configuration") as caught:
        store.find("count", name)
    assert "remove" in caught.value.cure
    (folder / RECORD_NAME).write_text("{")
    with pytest.raises(StoreError, match="not an artifact record"):
        store.find("count", name)


def test_a_step_running_elsewhere_is_waited_for(stage: CountingStage, tmp_path: Path) -> None:
    plan, steps = diamond()
    store = ArtifactStore(tmp_path)
    lease = store.leases.acquire(steps["a"].fingerprint)
    assert lease is not None
    with lease:
        states = {planned.step.label: planned.state for planned in plan_states(plan, store)}
    assert states == {"a": "wait", "b": "run", "c": "run", "d": "run", "e": "run"}
    assert plan_states(plan, store)[0].state == "run"


def test_an_artifact_that_is_whole_is_never_replaced_and_a_damaged_one_is(
    stage: CountingStage, tmp_path: Path
) -> None:
    plan, steps = diamond()
    run(plan, tmp_path)
    store = ArtifactStore(tmp_path)
    name = steps["a"].fingerprint
    record = store.find("count", name)
    assert record is not None
    output, _ = store.partial(name, "token")
    (output / "text").write_text("A()")
    store.publish(record, output)
    assert text_of(tmp_path, steps["a"]) == "a()"
    (store.folder("count", name) / "text").unlink()
    output, _ = store.partial(name, "token")
    (output / "text").write_text("A()")
    store.publish(record, output)
    assert text_of(tmp_path, steps["a"]) == "A()"
    assert not (tmp_path / "partial" / name).exists()


def test_states_give_reasons(stage: CountingStage, tmp_path: Path) -> None:
    plan, steps = diamond()
    stage.failing = {"b"}
    run(plan, tmp_path)
    told = {planned.step.label: planned for planned in plan_states(plan, ArtifactStore(tmp_path))}
    assert told["a"].state == "reuse"
    assert told["b"].reason == "failed last time: b cannot be had"
    assert told["d"].reason == f"after {steps['b'].name}"


def test_a_torn_line_of_the_journal_costs_one_line(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append("started", step="a", study="s")
    with path.open("a") as file:
        file.write('{"kind": "fin')
    journal.append("failed", step="b", study="s", message="zeile\nzwei")
    assert [(event.kind, event.step) for event in journal.read()] == [("started", "a"), ("failed", "b")]
    assert journal.latest()["b"].message == "zeile\nzwei"


def test_a_store_that_everybody_may_write_to_is_refused(stage: CountingStage, tmp_path: Path) -> None:
    plan, _ = diamond()
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o777)
    with pytest.raises(StoreError, match="can be written to by every user") as caught:
        run(plan, home)
    assert f"chmod o-w {home}" in caught.value.cure
    home.chmod(0o755)
    run(plan, home)
    assert set(stage.runs.values()) == {1}


def test_a_store_of_another_user_is_refused_where_one_may_not_write(
    stage: CountingStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(StoreError, match="belongs to user") as caught:
        run(diamond()[0], tmp_path)
    assert "--home" in caught.value.cure
