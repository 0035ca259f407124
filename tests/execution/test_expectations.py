"""What a run was expected to take is kept, and held against what it took."""

from __future__ import annotations

import json
from pathlib import Path

from harness.execution.expectations import hold_against, note_expectations, read_expectations
from harness.execution.history import past_of, recorded_steps
from harness.execution.states import plan_states
from harness.execution.store import ArtifactStore
from harness.plan.costs import StepCost, step_costs
from harness.plan.explain import explain
from harness.plan.ranges import Range
from tests.execution.fake import CountingStage, diamond, plan_of, run, step


def _cost(low: float, high: float) -> StepCost:
    nothing = Range(0, 0)
    return StepCost(seconds=Range(low, high), tokens=nothing, num_bytes=nothing, basis="FLOPs")


def test_forecast_and_facts_stand_side_by_side(stage: CountingStage, tmp_path: Path) -> None:
    plan, steps = diamond()
    costs = {name: _cost(0, 1000) for name in plan.steps}
    costs[steps["e"].fingerprint] = _cost(500, 1000)
    note_expectations(tmp_path / "notes", costs, set(plan.steps))
    run(plan, tmp_path)
    planned = plan_states(plan, ArtifactStore(tmp_path))
    (told,) = hold_against(planned, read_expectations(tmp_path / "notes"))
    assert (told.stage, told.num_steps, told.num_within) == ("count", 5, 4)
    assert told.expected_seconds == Range(500, 5000)
    assert told.actual_seconds < 500


def test_what_was_expected_before_is_kept_when_more_is_run(tmp_path: Path) -> None:
    note_expectations(tmp_path, {"a": _cost(1, 2)}, {"a"})
    note_expectations(tmp_path, {"a": _cost(7, 9), "b": _cost(3, 4)}, {"b"})
    found = read_expectations(tmp_path)
    assert {name: one.seconds for name, one in found.items()} == {"a": Range(1, 2), "b": Range(3, 4)}
    assert read_expectations(tmp_path / "nowhere") == {}


def test_what_was_recorded_is_what_the_next_plan_expects(stage: CountingStage, tmp_path: Path) -> None:
    plan, _ = diamond()
    run(plan, tmp_path)
    for path in (tmp_path / "artifacts" / "count").glob("*/artifact.json"):
        record = json.loads(path.read_text())
        path.write_text(json.dumps({**record, "wall_seconds": 50.0}))
    recorded = recorded_steps(ArtifactStore(tmp_path), ["count", "evaluate"])
    assert len(recorded) == 5
    for cost in step_costs(plan, recorded=recorded).values():
        assert cost.basis == "records of like steps"
        assert cost.seconds.low < 50 < cost.seconds.high


def test_artifacts_tell_why_a_step_is_new(stage: CountingStage, tmp_path: Path) -> None:
    plan, steps = diamond()
    run(plan, tmp_path)
    past = past_of(ArtifactStore(tmp_path))
    assert past.payloads.keys() == plan.steps.keys()
    other = step("A")
    after = step("b", [other])
    found = explain(plan_of(other, after), after, past)
    assert found.before == steps["b"].name
    assert [cause.describe() for _, cause in found.causes()] == ["name A against a"]


def test_a_damaged_record_says_nothing(stage: CountingStage, tmp_path: Path) -> None:
    plan, steps = diamond()
    run(plan, tmp_path)
    folder = ArtifactStore(tmp_path).folder("count", steps["a"].fingerprint)
    (folder / "text").write_text("")
    assert len(recorded_steps(ArtifactStore(tmp_path), ["count"])) == 4
