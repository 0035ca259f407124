from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import StudyError
from harness.plan import compile_plan
from harness.study import load_study
from harness.study.benchmarks import Limits, Selection, benchmark_names, named_suites, select_tasks
from harness.study.catalogue import PASSKEY_TASK, task_types
from tests.command import run_harness
from tests.study.builders import edited, write_study


def _suite(text: str) -> str:
    return edited("  news: {source: news, tasks: [BBCTopicClassification]}", f"  main: {{{text}}}")


def test_a_benchmark_has_its_tasks_with_what_counts_of_each() -> None:
    tasks = select_tasks(Selection(benchmark="MTEB(eng, v1)"))
    assert len(tasks) == 56
    assert tasks["STS17"] == Limits(subsets=("en-en",))
    assert tasks["AmazonCounterfactualClassification"] == Limits(splits=("test",), subsets=("en",))
    assert tasks["SciFact"] == tasks["CQADupstackRetrieval"] == Limits()


def test_an_alias_is_the_benchmark() -> None:
    assert benchmark_names()["MTEB(eng)"] == "MTEB(eng, v2)"
    by_alias = select_tasks(Selection(benchmark="MTEB(eng)"))
    assert by_alias == select_tasks(Selection(benchmark="MTEB(eng, v2)"))


def test_the_ablation_subset_is_fifteen_tasks_of_seven_types_less_summaries() -> None:
    tasks = select_tasks(Selection(benchmark="ablation-15"))
    kinds = [task_types()[task] for task in tasks]
    counts = {kind: kinds.count(kind) for kind in kinds}
    assert counts == {
        "Retrieval": 3,
        "Reranking": 2,
        "Clustering": 3,
        "PairClassification": 1,
        "Classification": 3,
        "STS": 3,
    }
    assert tasks["MassiveIntentClassification"].subsets == ("en",)


@pytest.mark.parametrize(("name", "count"), [("smoke", 6), ("nano", 13), ("lite", 41), ("full", 56)])
def test_tiers_are_suites(name: str, count: int) -> None:
    assert name in named_suites()
    assert len(select_tasks(Selection(benchmark=name))) == count


def test_filters_narrow_a_benchmark() -> None:
    retrieval = select_tasks(Selection(benchmark="MTEB(eng, v2)", task_types=("Retrieval",)))
    assert len(retrieval) == 10
    left = select_tasks(
        Selection(benchmark="MTEB(eng, v2)", task_types=("Retrieval",), exclude=("FiQA2018",))
    )
    assert set(retrieval) - set(left) == {"FiQA2018"}
    german = select_tasks(Selection(tasks=("STS17", "XNLI"), languages=("deu", "eng-Latn")))
    assert german["STS17"].subsets == ("en-de", "en-en")
    assert german["XNLI"].subsets == ("de", "en")


def test_passkeys_are_limited_by_length() -> None:
    (limits,) = select_tasks(Selection(tasks=(PASSKEY_TASK,), max_length=1024)).values()
    assert limits == Limits(subsets=("256", "512", "1024"))
    with pytest.raises(StudyError, match="no task is left"):
        select_tasks(Selection(tasks=(PASSKEY_TASK,), max_length=100))


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        (Selection(benchmark="MTEB(eng v2)"), "Did you mean 'MTEB\\(eng, v2\\)'"),
        (Selection(benchmark="BEIR", tasks=("SciFakt",)), "SciFakt is not in .* Did you mean 'SciFact'"),
        (Selection(tasks=("SciFakt",)), "no task 'SciFakt'. Did you mean 'SciFact'"),
        (Selection(benchmark="BEIR", exclude=("STS17",)), "exclude: 'STS17' is not among"),
        (Selection(benchmark="BEIR", task_types=("Retrival",)), "Did you mean 'Retrieval'"),
        (Selection(benchmark="BEIR", languages=("english",)), "no task has the language 'english'"),
        (Selection(benchmark="BEIR", task_types=("STS",)), "no task is left"),
        (Selection(benchmark="MIEB(eng)"), "and 121 more: not on text alone"),
    ],
)
def test_wrong_selections_are_refused(selection: Selection, said: str) -> None:
    with pytest.raises(StudyError, match=said):
        select_tasks(selection)


def test_a_study_names_a_benchmark_and_its_plan_says_what_counts(tmp_path: Path) -> None:
    suite = 'benchmark: "MTEB(eng, v2)", task_types: [STS], exclude: [BIOSSES]'
    study = load_study(write_study(tmp_path, _suite(suite)))
    assert len(study.suites["main"].tasks) == 8
    plan = compile_plan(study)
    configs = {
        step.config["task"]: step.config for step in plan.steps.values() if step.stage == "evaluate"
    }
    assert configs["STS17"]["subsets"] == ["en-en"]
    assert "splits" not in configs["STSBenchmark"]
    assert "subsets" not in configs["STSBenchmark"]


def test_a_task_that_is_whole_in_two_suites_is_scored_once(tmp_path: Path) -> None:
    both = edited(
        "  news: {source: news, tasks: [BBCTopicClassification]}",
        '  one: {benchmark: "MTEB(eng, v2)", tasks: [STSBenchmark, STS17]}\n'
        "  two: {tasks: [STSBenchmark, STS17]}",
    )
    plan = compile_plan(load_study(write_study(tmp_path, both)))
    member = plan.rows[0].members[0].evaluations
    assert member["one", "STSBenchmark"] == member["two", "STSBenchmark"]
    assert member["one", "STS17"] != member["two", "STS17"]


@pytest.mark.parametrize(
    ("suite", "said"),
    [
        ("benchmark: NanoBeer", "small.yaml:18: suites.main.benchmark: .*Did you mean 'NanoBEIR'"),
        ("languages: [eng]", "suites.main: needs `tasks` or a `benchmark`"),
        ("evaluator: beir, benchmark: BEIR", "suites.main.benchmark: goes with the evaluator mteb"),
        ("tasks: [CIFAR10]", "suites.main.tasks: CIFAR10: not on text alone"),
    ],
)
def test_a_wrong_suite_is_told_with_its_line(tmp_path: Path, suite: str, said: str) -> None:
    with pytest.raises(StudyError, match=said):
        load_study(write_study(tmp_path, _suite(suite)))


def test_planning_a_benchmark_loads_no_mteb(tmp_path: Path) -> None:
    path = write_study(tmp_path, _suite('benchmark: "MTEB(Multilingual, v2)", languages: [deu]'))
    program = (
        "import sys; from pathlib import Path; from harness.plan import compile_plan;"
        " from harness.study import load_study;"
        f" print(len(compile_plan(load_study(Path({str(path)!r}))).steps));"
        " print([name for name in ('mteb', 'torch', 'datasets', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    num_steps, loaded = done.stdout.split("\n")[:2]
    assert int(num_steps) > 50
    assert loaded == "[]"


def test_a_benchmark_that_does_not_exist_is_wrong_use(tmp_path: Path) -> None:
    done = run_harness("evaluate", "bm25", "--benchmark", "NanoBeer", "--to", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "Did you mean 'NanoBEIR'" in done.stderr
    assert not (tmp_path / "out").exists()
