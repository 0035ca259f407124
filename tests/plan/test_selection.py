"""Parts of a plan by names with wildcards: what is kept can run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.plan import Plan, compile_plan
from harness.plan.selection import select_after, select_steps
from harness.study import load_study
from tests.study.builders import write_study


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return compile_plan(load_study(write_study(tmp_path_factory.mktemp("study"))))


def _stages(plan: Plan) -> set[str]:
    return {step.stage for step in plan.steps.values()}


def _is_closed(plan: Plan) -> bool:
    return all(needed in plan.steps for step in plan.steps.values() for needed in step.inputs.values())


def test_a_stage_is_kept_with_what_it_needs(plan: Plan) -> None:
    only = select_steps(plan, only=["contrast"])
    assert "evaluate" not in _stages(only)
    assert {"base", "source", "contrast"} <= _stages(only)
    assert _is_closed(only)
    assert only.rows == plan.rows


def test_a_stage_is_left_out_with_what_needs_it(plan: Plan) -> None:
    left = select_steps(plan, without=["contrast"])
    assert "contrast" not in _stages(left)
    assert _is_closed(left)
    needing = [
        n
        for n, s in plan.steps.items()
        if any(i in plan.steps and plan.steps[i].stage == "contrast" for i in s.inputs.values())
    ]
    assert needing
    assert left.steps.keys().isdisjoint(needing)


def test_a_variant_is_kept_or_left_out_without_harm_to_others(plan: Plan) -> None:
    rows = [row for row in plan.rows if not row.is_reference]
    first, others = rows[0], rows[1:]
    kept = select_steps(plan, only=[first.label.replace("[", "[[]")])
    assert {
        name for member in first.members for name in member.evaluations.values()
    } <= kept.steps.keys()
    assert len(kept.steps) < len(plan.steps)
    left = select_steps(plan, without=[first.label.replace("[", "[[]")])
    for row in others:
        for member in row.members:
            assert {member.model, *member.evaluations.values()} <= left.steps.keys()
    assert not {member.model for member in first.members} & left.steps.keys()


def test_a_level_names_its_variants(plan: Plan) -> None:
    row = next(row for row in plan.rows if row.levels)
    factor, level = next(iter(row.levels.items()))
    kept = select_steps(plan, only=[f"{factor}={level}"])
    assert {member.model for member in row.members if member.model} <= kept.steps.keys()


@pytest.mark.parametrize("pattern", ["contrats", "evaluate-0000*"])
def test_a_pattern_that_means_nothing_is_refused(pattern: str, plan: Plan) -> None:
    with pytest.raises(HarnessError, match="no step or variant is called"):
        select_steps(plan, only=[pattern])
    with pytest.raises(HarnessError, match="no step or variant is called"):
        select_steps(plan, without=[pattern])


def test_nothing_left_is_refused(plan: Plan) -> None:
    with pytest.raises(HarnessError, match="leave no step"):
        select_steps(plan, without=["*"])


@given(st.data())
def test_any_selection_can_run(plan: Plan, data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(sorted(plan.steps)), min_size=1))
    without = data.draw(st.lists(st.sampled_from(sorted(plan.steps))))
    after = select_after(plan, names)
    assert _is_closed(after)
    assert set(names) <= after.steps.keys()
    try:
        kept = select_steps(plan, only=names, without=without)
    except HarnessError:
        return
    assert _is_closed(kept)
    assert kept.steps.keys().isdisjoint(without)
