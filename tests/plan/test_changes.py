"""Why a step is new, and what a plan has gained, lost and changed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from harness.errors import StudyError
from harness.plan import Plan, compile_plan
from harness.plan.changes import compare_plans
from harness.plan.explain import explain, find_step
from harness.plan.past import Past
from harness.study import load_study
from tests.command import run_harness
from tests.study.builders import STUDY, edited, write_study


def _plan(folder: Path, text: str = STUDY) -> Plan:
    folder.mkdir(exist_ok=True)
    return compile_plan(load_study(write_study(folder, text)))


def _new(before: Plan, after: Plan, stage: str) -> str:
    return next(
        name for name, step in after.steps.items() if step.stage == stage and name not in before.steps
    )


def test_a_new_step_is_told_by_its_own_field(tmp_path: Path) -> None:
    before = _plan(tmp_path / "a")
    after = _plan(tmp_path / "b", edited("[0.02, 0.05]", "[0.02, 0.07]"))
    name = _new(before, after, "contrast")
    found = explain(after, after.steps[name], Past.of_plan(before))
    ((step, cause),) = found.causes()
    assert (step, cause.field) == (after.steps[name].name, "contrastive.temperature")
    assert (cause.now, cause.before) in {("0.07", "0.02"), ("0.07", "0.05")}
    assert found.inputs == ()


def test_the_chain_goes_down_to_the_input_that_caused_it(tmp_path: Path) -> None:
    before = _plan(tmp_path / "a")
    after = _plan(tmp_path / "b", edited("reconstruction.steps: 2", "reconstruction.steps: 3"))
    evaluation = _new(before, after, "evaluate")
    found = explain(after, after.steps[evaluation], Past.of_plan(before))
    ((step, cause),) = found.causes()
    assert step.startswith("reconstruct-")
    assert cause.describe() == "reconstruction.steps 3 against 2"
    text = "\n".join(found.lines())
    order = [text.index(part) for part in ("evaluate-", "input model", "contrast-", "reconstruct-")]
    assert order == sorted(order)


def test_changed_data_are_told_by_their_hash(tmp_path: Path) -> None:
    before = _plan(tmp_path)
    study = load_study(tmp_path / "small.yaml")
    (tmp_path / "news" / "content").write_text("other")
    after = compile_plan(study)
    found = explain(after, after.steps[_new(before, after, "contrast")], Past.of_plan(before))
    assert {cause.field for _, cause in found.causes()} == {"sha256"}


def test_raising_a_stages_version_is_a_reason(tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    past = Past.of_plan(plan)
    older = {
        name[::-1]: {**payload, "version": 0} if payload["stage"] == "source" else payload
        for name, payload in past.payloads.items()
    }
    source = next(step for step in plan.steps.values() if step.stage == "source")
    ((_, cause),) = explain(plan, source, Past(payloads=older)).causes()
    assert (cause.field, cause.before) == ("version", "0")


def test_the_first_step_of_its_stage_has_nothing_before_it(tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    step = next(iter(plan.steps.values()))
    (line,) = explain(plan, step, Past(payloads={})).lines()
    assert line == f"{step.name}: no such step was there before"


def test_a_step_is_found_by_the_start_of_its_name(tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    step = next(one for one in plan.steps.values() if one.stage == "contrast")
    assert find_step(plan, step.name) is find_step(plan, step.fingerprint[:9]) is step
    with pytest.raises(StudyError, match="start of 4 steps"):
        find_step(plan, "contrast")
    with pytest.raises(StudyError, match="Did you mean 'contrast-"):
        find_step(plan, step.name[:-1] + "x")


def test_two_plans_are_compared_by_what_stands_in_one_place(tmp_path: Path) -> None:
    before = _plan(tmp_path / "a")
    after = _plan(tmp_path / "b", edited("reconstruction.steps: 2", "reconstruction.steps: 3"))
    found = compare_plans(Past.of_plan(before), Past.of_plan(after))
    assert (found.added, found.removed) == ((), ())
    own = [one for one in found.changed if one.fields]
    assert [one.fields[0].describe() for one in own] == ["reconstruction.steps 3 against 2"]
    assert len(found.changed) == 1 + 2 + 2
    assert found.num_same == len(after.steps) - 5
    (contrast, *_) = (one for one in found.changed if one.now.startswith("contrast"))
    assert contrast.inputs == (own[0].now,)


def test_more_levels_and_fewer_tasks_are_added_and_removed(tmp_path: Path) -> None:
    two = edited("[BBCTopicClassification]", "[BBCTopicClassification, BBCTopicClustering]")
    before = _plan(tmp_path / "a", two)
    after = _plan(tmp_path / "b", edited("[0.02, 0.05]", "[0.02, 0.05, 0.1]"))
    found = compare_plans(Past.of_plan(before), Past.of_plan(after))
    assert [name.partition("-")[0] for name in found.added] == ["contrast", "evaluate"] * 2
    assert [name.partition("-")[0] for name in found.removed] == ["evaluate"] * 4
    assert found.changed == ()


def _git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)


def test_against_takes_a_revision_a_saved_plan_and_another_study(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    home = ["--home", str(tmp_path / "store")]
    _git(tmp_path, "init")
    _git(tmp_path, "add", "small.yaml")
    _git(tmp_path, "commit", "-m", "first")
    saved = tmp_path / "plan.json"
    saved.write_text(run_harness("plan", str(path), "--json", *home).stdout)
    other = tmp_path / "other.yaml"
    other.write_text(path.read_text())
    path.write_text(edited("[0.02, 0.05]", "[0.02, 0.07]"))
    for name in ("HEAD", str(saved), str(other)):
        done = run_harness("plan", str(path), "--against", name, "--json", *home)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert len(found["added"]) == len(found["removed"]) == 4, name
    said = run_harness("plan", str(path), "--why", found["added"][0], "--against", str(saved), *home)
    assert "contrastive.temperature 0.07 against" in said.stdout
    assert not (tmp_path / "store").exists()


def test_a_study_that_was_renamed_is_found_at_its_old_place(tmp_path: Path) -> None:
    from harness.cli.against import read_against

    path = write_study(tmp_path)
    _git(tmp_path, "init")
    _git(tmp_path, "add", "small.yaml")
    _git(tmp_path, "commit", "-m", "first")
    renamed = path.rename(tmp_path / "renamed.yaml")
    with pytest.raises(StudyError, match=r"no renamed\.yaml at revision 'HEAD'") as caught:
        read_against("HEAD", study=renamed, profile=None)
    assert "REV:PATH" in caught.value.cure
    before = read_against("HEAD:./small.yaml", study=renamed, profile=None)
    assert before.payloads == Past.of_plan(compile_plan(load_study(renamed))).payloads


def test_a_step_that_is_none_is_answered_with_the_nearest_name(tmp_path: Path) -> None:
    plan = compile_plan(load_study(write_study(tmp_path)))
    with pytest.raises(StudyError, match=r"no step 'contrats-0123'.* Did you mean 'contrast"):
        find_step(plan, "contrats-0123")
    with pytest.raises(StudyError, match="'evaluate' is the start of 4 steps"):
        find_step(plan, "evaluate")


@pytest.mark.parametrize(
    ("against", "said"),
    [
        ("nowhere", "at revision 'nowhere'"),
        ("--output=x", "no revision"),
        ("gone.json", "gone.json: cannot be read"),
        ("empty.json", "not a plan"),
    ],
)
def test_what_names_no_plan_is_refused(against: str, said: str, tmp_path: Path) -> None:
    from harness.cli.against import read_against

    path = write_study(tmp_path)
    (tmp_path / "empty.json").write_text("{}")
    name = str(tmp_path / against) if against.endswith(".json") else against
    with pytest.raises(StudyError, match=said):
        read_against(name, study=path, profile=None)
