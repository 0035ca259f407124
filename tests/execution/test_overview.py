"""How far a study is, and how long the rest takes, from what lies in the store."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from harness.cli.status_text import duration, gpu_lines, render, show_studies, watch
from harness.errors import StoreError
from harness.execution.expectations import note_expectations
from harness.execution.journal import Journal
from harness.execution.noted import NotedPlan, note_more, note_plan, noted, noted_plans, read_noted
from harness.execution.overview import as_json, look_over
from harness.execution.remaining import remaining
from harness.execution.runs import OwnRun, Run, Runs
from harness.execution.store import ArtifactStore
from harness.plan import Plan
from harness.plan.costs import StepCost
from harness.plan.ranges import Range
from tests.execution.fake import CountingStage, diamond, plan_of, run, step

_COST = StepCost(seconds=Range(60, 240), tokens=Range(0, 0), num_bytes=Range(0, 0), basis="FLOPs")


def _states(plan: NotedPlan, home: Path) -> dict[str, str]:
    return {one.step.label: one.state for one in look_over(plan, ArtifactStore(home)).steps}


def test_a_noted_plan_is_read_as_it_was_written(tmp_path: Path, stage: CountingStage) -> None:
    plan, _ = diamond()
    brief = noted(plan, profile="laptop")
    note_plan(tmp_path, brief)
    note_plan(tmp_path, noted(plan_of(step("a"))))
    assert read_noted(tmp_path, "fake", profile="laptop") == brief
    assert {one.profile: len(one.steps) for one in noted_plans(tmp_path)} == {"": 1, "laptop": 5}
    assert read_noted(tmp_path, "gone") is None


def test_a_note_that_grows_keeps_its_steps_and_the_time_since_when_others_may_be_needed(
    tmp_path: Path, stage: CountingStage
) -> None:
    path = tmp_path / "studies" / "fake" / "plan.json"
    note_more(tmp_path, noted(plan_of(step("a"))))
    assert path.stat().st_mtime == 0
    note_plan(tmp_path, noted(plan_of(step("a"))))
    since = path.stat().st_mtime_ns
    note_more(tmp_path, noted(plan_of(step("b"))))
    found = read_noted(tmp_path, "fake")
    assert found is not None
    assert [one.label for one in found.steps.values()] == ["a", "b"]
    assert path.stat().st_mtime_ns == since


@pytest.mark.parametrize("verb", ["status", "logs", "cancel", "gc"])
def test_verbs_that_ask_what_runs_load_no_studies(verb: str) -> None:
    code = f"import sys, harness.cli.{verb}; sys.exit('harness.study' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_damaged_note_is_told_with_its_cure(tmp_path: Path, stage: CountingStage) -> None:
    note_plan(tmp_path, noted(plan_of(step("a"))))
    path = tmp_path / "studies" / "fake" / "plan.json"
    path.write_text(path.read_text()[:-4])
    with pytest.raises(StoreError, match="not a noted plan"):
        read_noted(tmp_path, "fake")


def test_each_step_is_in_one_state(tmp_path: Path, stage: CountingStage) -> None:
    plan, steps = diamond()
    brief = noted(plan)
    assert set(_states(brief, tmp_path).values()) == {"waiting"}
    stage.failing = {"b"}
    run(plan, tmp_path)
    journal = Journal(tmp_path / "journal.jsonl")
    assert _states(brief, tmp_path) == {
        "a": "done",
        "b": "failed",
        "c": "done",
        "d": "blocked",
        "e": "done",
    }
    journal.append("cancelled", step=steps["b"].fingerprint, study="fake")
    assert _states(brief, tmp_path)["b"] == "cancelled"
    journal.append("started", step=steps["b"].fingerprint, study="fake")
    assert _states(brief, tmp_path)["b"] == "interrupted"
    with ArtifactStore(tmp_path).leases.acquire(steps["b"].fingerprint) or pytest.fail("held"):
        assert _states(brief, tmp_path)["b"] == "running"
        assert _states(brief, tmp_path)["d"] == "waiting"


def test_the_text_names_kind_log_runs_and_time_left(tmp_path: Path, stage: CountingStage) -> None:
    plan, steps = diamond()
    brief = noted(plan)
    stage.failing = {"b"}
    run(plan, tmp_path)
    store = ArtifactStore(tmp_path)
    later = plan_of(*plan.steps.values(), step("f"))
    costs = dict.fromkeys(later.steps, _COST)
    note_expectations(store.study_folder("fake"), costs, later.steps.keys())
    own = Runs(tmp_path).begin(study="fake", profile="", priority=3, cpus=2, gpus=0, steps=())
    text = render(look_over(noted(later), store), store)
    own.end()
    assert "data: b cannot be had" in text
    assert str(store.log_file("count", steps["b"].fingerprint)) in text
    assert "priority 3" in text
    assert "about 60 s to 4 min left" in text
    assert "3 done, 1 waiting, 1 blocked, 1 failed" in text
    assert "no run is under way" in render(look_over(brief, store), store)
    assert as_json(look_over(brief, store))["counts"] == {
        "done": 3,
        "running": 0,
        "waiting": 0,
        "blocked": 1,
        "failed": 1,
        "preempted": 0,
        "cancelled": 0,
        "interrupted": 0,
    }


def test_all_studies_of_a_store_have_a_line(
    tmp_path: Path, stage: CountingStage, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, _ = diamond()
    note_plan(tmp_path, noted(plan, profile="laptop"))
    show_studies([look_over(one, ArtifactStore(tmp_path)) for one in noted_plans(tmp_path)])
    assert capsys.readouterr().out == "fake (laptop)            5 waiting\n"


def test_who_holds_something_and_is_silent_is_named_with_place_and_time(
    tmp_path: Path, stage: CountingStage
) -> None:
    plan = plan_of(step("a"))
    (name,) = plan.steps
    store = ArtifactStore(tmp_path)
    own = Runs(tmp_path).begin(study="fake", profile="", priority=0, cpus=1, gpus=0, steps=[name])
    with store.leases.acquire(name) or pytest.fail("held"):
        assert not look_over(noted(plan), store).silent
        found = look_over(noted(plan), store, now=datetime.now(UTC) + timedelta(minutes=5))
    own.end()
    (silent,) = found.silent
    assert silent.where.startswith(f"{os.uname().nodename}, process {os.getpid()}")
    assert silent.holds == (plan.steps[name].name, "a run")
    assert f"{silent.where}: not heard of since {silent.since:%Y-%m-%d}" in render(found, store)
    told: Any = as_json(found)["silent"]
    assert told[0]["seconds"] >= 300


def test_watching_ends_with_the_run_that_was_seen_whatever_is_left(
    tmp_path: Path, stage: CountingStage, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, _ = diamond()
    stage.failing = {"b"}
    run(plan, tmp_path)
    store = ArtifactStore(tmp_path)
    runs: list[OwnRun] = []

    def pass_time() -> None:
        assert len(runs) < 2
        if not runs or runs[0].name not in {run.name for run in Runs(tmp_path).living()}:
            own = Runs(tmp_path).begin(study="fake", profile="", priority=0, cpus=1, gpus=0, steps=())
            runs.append(own)
        else:
            runs[0].end()

    watch(lambda: look_over(noted(plan), store), store, pause=pass_time)
    assert "no run is under way" in capsys.readouterr().out
    assert len(runs) == 1


def _room(cpus: float) -> Run:
    return Run(
        name="",
        study="",
        profile="",
        priority=0,
        cpus=cpus,
        gpus=0,
        started="",
        steps=frozenset(),
    )


@pytest.mark.parametrize(("cpus", "seconds"), [(1, 50.0), (2, 30.0), (8, 30.0)])
def test_what_is_left_is_bounded_by_work_and_by_the_longest_chain(
    cpus: int, seconds: float, stage: CountingStage
) -> None:
    plan: Plan = diamond()[0]
    todo = dict.fromkeys(plan.steps, Range(10, 20))
    left = remaining(noted(plan), todo, spent=dict.fromkeys(plan.steps, 0.0), runs=[_room(cpus)])
    assert left == Range(seconds, 2 * seconds)


def test_a_step_that_runs_is_only_half_to_do(tmp_path: Path, stage: CountingStage) -> None:
    plan = plan_of(step("a"))
    (name,) = plan.steps
    Journal(tmp_path / "journal.jsonl").append("started", step=name, study="fake")
    costs = {name: _COST}
    store = ArtifactStore(tmp_path)
    note_expectations(store.study_folder("fake"), costs, plan.steps.keys())
    with store.leases.acquire(name) or pytest.fail("held"):
        now = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=100)
        found = look_over(noted(plan), store, now=now)
    assert found.remaining is not None
    assert found.remaining.low == 0
    assert found.remaining.high == pytest.approx(140, abs=2)


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "5 s"), (119, "119 s"), (600, "10 min"), (9000, "2 h"), (400000, "5 days")]
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_devices_are_shown_as_their_driver_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho '0, 93, 70000, 81559'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert gpu_lines() == ["GPU 0 here: 93% busy, 70000 of 81559 MiB"]
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert gpu_lines() == []
