from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import StudyError
from harness.plan import Plan, compile_plan
from harness.study import load_study
from harness.study.benchmarks import Selection, select_tasks
from harness.study.catalogue import task_types
from harness.study.task_prompts import prompt_files, read_prompts
from tests.study.builders import edited, write_study

OWN = """\
types:
  STS: {text: compare}
tasks:
  SciFact: {query: ask, document: read}
  STSBenchmark: {text: compare these}
"""


def _plan(folder: Path, prompts: str, *, suite: str = "tasks: [SciFact, STS17, STSBenchmark]") -> Plan:
    text = edited(
        "  news: {source: news, tasks: [BBCTopicClassification]}", f"  main: {{{suite}}}"
    ).replace("recipe:\n", f"recipe:\n  prompts: {{{prompts}}}\n")
    (folder / "own.yaml").write_text(OWN)
    return compile_plan(load_study(write_study(folder, text)))


def _configs(plan: Plan) -> dict[str, dict[str, object]]:
    steps = (step for step in plan.steps.values() if step.stage == "evaluate")
    return {step.config["task"]: dict(step.config) for step in steps}


def _fingerprints(plan: Plan) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for step in plan.steps.values():
        kind = step.config["task"] if step.stage == "evaluate" else step.stage
        found.setdefault(kind, set()).add(step.fingerprint)
    return found


def test_the_wording_of_e5_covers_every_task_of_the_printed_tables_on_the_sides_that_it_has() -> None:
    prompts = read_prompts("e5-v1", folder=Path())
    assert prompts is not None
    for task in select_tasks(Selection(benchmark="MTEB(eng, v1)")):
        kind = task_types()[task]
        expected = {"Retrieval": {"query"}, "Reranking": {"query", "document"}}.get(kind, {"text"})
        found = prompts.of_task(task, kind)
        assert found.keys() == expected, task
        assert all(text.strip() == text and text for text in found.values())
    assert prompts.of_task("ArguAna", "Retrieval") == {
        "query": "Given a claim, find documents that refute the claim"
    }


@pytest.mark.parametrize("benchmark", ["MTEB(eng, v2)", "NanoBEIR", "BEIR", "MIRACL", "ablation-15"])
def test_later_cuts_of_the_same_data_have_the_same_words(benchmark: str) -> None:
    prompts = read_prompts("e5-v1", folder=Path())
    assert prompts is not None
    for task in select_tasks(Selection(benchmark=benchmark)):
        assert prompts.of_task(task, task_types()[task]), task
    of_task = prompts.of_task
    assert of_task("FEVERHardNegatives", "Retrieval") == of_task("FEVER", "Retrieval")
    assert of_task("NanoSciFactRetrieval", "Retrieval") == of_task("SciFact", "Retrieval")
    assert of_task("Tatoeba", "BitextMining") == {"text": "Retrieve parallel sentences."}


@pytest.mark.parametrize("prompts", ["e5-v1", "mteb", "own.yaml"])
def test_a_beir_dataset_has_the_instruction_of_mtebs_task_over_it(tmp_path: Path, prompts: str) -> None:
    stock = _configs(_plan(tmp_path, f"format: instruct, tasks: {prompts}", suite="tasks: [SciFact]"))
    suite = "evaluator: beir, tasks: [scifact]"
    beir = _configs(_plan(tmp_path, f"format: instruct, tasks: {prompts}", suite=suite))
    assert beir["scifact"]["instructions"] == stock["SciFact"]["instructions"]


def test_a_task_takes_its_own_texts_and_falls_back_to_its_type(tmp_path: Path) -> None:
    configs = _configs(_plan(tmp_path, "tasks: own.yaml"))
    assert configs["SciFact"]["instructions"] == {"query": "ask", "document": "read"}
    assert configs["STSBenchmark"]["instructions"] == {"text": "compare these"}
    assert configs["STS17"]["instructions"] == {"text": "compare"}


def test_editing_one_tasks_prompt_runs_that_task_again_and_nothing_else(tmp_path: Path) -> None:
    before = _fingerprints(_plan(tmp_path, "tasks: own.yaml"))
    text = OWN.replace("compare these", "compare those")
    (tmp_path / "own.yaml").write_text(text)
    after = _fingerprints(compile_plan(load_study(tmp_path / "small.yaml")))
    assert {kind for kind in before if before[kind] != after[kind]} == {"STSBenchmark"}


def test_prompts_of_tasks_leave_training_alone(tmp_path: Path) -> None:
    without = _fingerprints(_plan(tmp_path, "format: instruct"))
    with_them = _fingerprints(_plan(tmp_path, "format: instruct, tasks: e5-v1"))
    changed = {kind for kind in without if without[kind] != with_them[kind]}
    assert changed == {"SciFact", "STS17", "STSBenchmark"}


def test_mtebs_own_are_named_and_read_where_mteb_is_loaded(tmp_path: Path) -> None:
    configs = _configs(_plan(tmp_path, "format: instruct, tasks: mteb"))
    assert {config["instructions"] for config in configs.values()} == {"mteb"}


def test_only_the_named_task_types_stay_unnormalised(tmp_path: Path) -> None:
    suite = "tasks: [SciFact, Banking77Classification], unnormalized: [Classification]"
    configs = _configs(_plan(tmp_path, "tasks: none", suite=suite))
    assert configs["Banking77Classification"]["normalize"] is False
    assert "normalize" not in configs["SciFact"]
    with pytest.raises(StudyError, match="Did you mean 'Classification'"):
        _plan(tmp_path, "tasks: none", suite=suite.replace("[Classification]", "[Clasification]"))


@pytest.mark.parametrize(
    ("prompts", "said"),
    [
        ("tasks: e5-v2", "recipe.prompts.tasks: no prompts 'e5-v2'. Did you mean 'e5-v1'"),
        ("tasks: e5-v1", "needs `format: instruct`"),
        ("tasks: bad.yaml", "bad.yaml: no task 'SciFakt'. Did you mean 'SciFact'"),
        ("tasks: side.yaml", "side.yaml: tasks.SciFact.left"),
    ],
)
def test_wrong_prompts_are_refused(tmp_path: Path, prompts: str, said: str) -> None:
    (tmp_path / "bad.yaml").write_text("tasks: {SciFakt: {query: x}}")
    (tmp_path / "side.yaml").write_text("tasks: {SciFact: {left: x}}")
    with pytest.raises(StudyError, match=said):
        _plan(tmp_path, prompts)


def test_files_are_listed_with_what_needs_none() -> None:
    assert prompt_files() == ["none", "mteb", "e5-v1"]


def test_one_model_under_several_instructions_is_several_lines(tmp_path: Path) -> None:
    factor = "factors:\n  prompts.tasks: [none, e5-v1, mteb, own.yaml, other/own.yaml]\n"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "own.yaml").write_text(OWN)
    (tmp_path / "own.yaml").write_text(OWN)
    text = edited("recipe:\n", "recipe:\n  prompts: {format: instruct}\n")
    text = text[: text.index("factors:")] + factor + text[text.index("suites:") :]
    plan = compile_plan(load_study(write_study(tmp_path, text)))
    members = [member for row in plan.rows for member in row.members]
    assert len({member.slug for member in members}) == 5
    assert len({member.model for member in members}) == 1
