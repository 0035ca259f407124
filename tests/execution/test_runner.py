"""A plan is made true with every step run once, whatever fails or is interrupted."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.execution.store import ArtifactStore
from harness.plan import Step
from harness.stages import STAGES
from tests.execution.fake import CountingStage, diamond, plan_of, run, step, text_of


def test_steps_run_after_their_inputs_and_once(stage: CountingStage, tmp_path: Path) -> None:
    plan, steps = diamond()
    summary, events = run(plan, tmp_path)
    assert summary.counts() == {"run": 5, "reused": 0, "failed": 0, "skipped": 0}
    assert set(stage.runs.values()) == {1}
    assert text_of(tmp_path, steps["d"]) == "d(b(a()),c(a()))"
    assert events.index("done a") < events.index("started b")
    assert events.index("done c") < events.index("started d")


def test_a_second_run_reuses_everything_and_opens_no_backend(
    stage: CountingStage, tmp_path: Path
) -> None:
    plan, _ = diamond()
    run(plan, tmp_path)
    before = dict(stage.runs)

    from harness.execution.runner import run_plan

    def refuse() -> None:
        raise AssertionError("nothing is to be run")

    summary = run_plan(plan, ArtifactStore(tmp_path), refuse, progress=lambda *_: None)  # type: ignore[arg-type]
    assert summary.counts() == {"run": 0, "reused": 5, "failed": 0, "skipped": 0}
    assert dict(stage.runs) == before


def test_a_failure_stops_only_what_depends_on_it(stage: CountingStage, tmp_path: Path) -> None:
    plan, steps = diamond()
    stage.failing = {"b"}
    summary, _ = run(plan, tmp_path)
    assert set(summary.failed) == {steps["b"].fingerprint}
    assert "b cannot be had" in summary.failed[steps["b"].fingerprint]
    assert summary.skipped == {steps["d"].fingerprint: steps["b"].fingerprint}
    assert summary.counts()["run"] == 3
    stage.failing = set()
    again, _ = run(plan, tmp_path)
    assert again.counts() == {"run": 2, "reused": 3, "failed": 0, "skipped": 0}
    assert stage.runs == {"a": 1, "b": 2, "c": 1, "d": 1, "e": 1}


def test_an_interrupt_keeps_what_is_done_and_what_was_begun(
    stage: CountingStage, tmp_path: Path
) -> None:
    plan, steps = diamond()
    stage.interrupting = {"c"}
    with pytest.raises(KeyboardInterrupt):
        run(plan, tmp_path)
    stage.interrupting = set()
    run(plan, tmp_path)
    assert stage.runs["a"] == 1
    assert stage.runs["c"] == 2
    log = ArtifactStore(tmp_path).log_file("count", steps["c"].fingerprint).read_text()
    assert "ran c, resumed" in log


def test_a_cut_short_artifact_is_made_anew(stage: CountingStage, tmp_path: Path) -> None:
    plan, steps = diamond()
    run(plan, tmp_path)
    (ArtifactStore(tmp_path).folder("count", steps["b"].fingerprint) / "text").write_text("b(")
    summary, _ = run(plan, tmp_path)
    assert summary.counts()["run"] == 1
    assert text_of(tmp_path, steps["b"]) == "b(a())"


def test_steps_shared_by_two_studies_run_once(stage: CountingStage, tmp_path: Path) -> None:
    shared = step("shared")
    run(plan_of(shared, step("x", [shared])), tmp_path)
    run(plan_of(shared, step("y", [shared])), tmp_path)
    assert stage.runs == {"shared": 1, "x": 1, "y": 1}


def test_two_drivers_on_one_store_run_each_step_once(stage: CountingStage, tmp_path: Path) -> None:
    plan, _ = diamond()
    drivers = [threading.Thread(target=run, args=(plan, tmp_path)) for _ in range(2)]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    assert set(stage.runs.values()) == {1}


def test_each_step_has_a_log_of_its_own(stage: CountingStage, tmp_path: Path) -> None:
    plan, steps = diamond()
    run(plan, tmp_path)
    store = ArtifactStore(tmp_path)
    for name, item in steps.items():
        log = store.log_file("count", item.fingerprint).read_text()
        assert f"ran {name}," in log
        assert log.count("ran ") == 1


def test_the_version_of_a_stage_decides_reuse(stage: CountingStage, tmp_path: Path) -> None:
    run(plan_of(step("a")), tmp_path)
    stage.version = 2
    assert STAGES["count"].version == 2
    run(plan_of(step("a")), tmp_path)
    assert stage.runs == {"a": 2}


def test_steps_with_the_same_inputs_come_apart(stage: CountingStage, tmp_path: Path) -> None:
    first, second = step("m1"), step("m2")
    tasks = [
        step(f"{name}{n}", [model]) for name, model in (("a", first), ("b", second)) for n in (1, 2)
    ]
    plan = plan_of(first, second, *tasks)
    _, events = run(plan, tmp_path)
    assert [event for event in events if event.startswith("started ")][2:] == [
        "started a1",
        "started b1",
        "started a2",
        "started b2",
    ]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sets(st.integers(0, 7), max_size=3), min_size=1, max_size=8), st.sets(st.integers(0, 7))
)
def test_any_graph_with_any_failures_ends_with_every_step_told(
    needs: list[set[int]], bad: set[int]
) -> None:
    stage = CountingStage(failing={str(index) for index in bad})
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setitem(cast("dict[str, Any]", STAGES), "count", stage)
        steps: list[Step] = []
        for index, wanted in enumerate(needs):
            steps.append(step(str(index), [steps[i] for i in sorted(wanted) if i < index]))
        plan = plan_of(*steps)
        summary, _ = run(plan, Path(folder))
        told = [*summary.done, *summary.failed, *summary.skipped]
        assert sorted(told) == sorted(plan.steps)
        assert all(stage.runs[name] <= 1 for name in stage.runs)
        stage.failing = set()
        run(plan, Path(folder))
        again, _ = run(plan, Path(folder))
        assert len(again.reused) == len(plan.steps)
        done_once = {plan.steps[name].label for name in summary.done}
        assert all(stage.runs[label] == 1 for label in done_once)
