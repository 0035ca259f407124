from __future__ import annotations

import csv
from pathlib import Path

import pytest

from harness.errors import RecordError
from harness.records.facts import find_suite, suite_tasks, task_facts


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_english_suites_are_the_published_lists(shared_published: Path, version: str) -> None:
    with (shared_published / f"tasks_eng_{version}.csv").open(encoding="utf-8", newline="") as file:
        listed = {row["task"]: row for row in csv.DictReader(file)}
    suite = find_suite(f"MTEB(eng, {version})")
    assert {task.name for task in suite.tasks} == set(listed)
    for task in suite.tasks:
        row = listed[task.name]
        assert task.task_type == row["type"]
        assert (task.splits[0] in row["split"].split("|"), len(task.splits)) == (True, 1)
        assert task.subsets == (row["subset"],)
        if version == "v1":
            assert task.metric == row["mteb2.26_main_score"]


def test_suites_have_their_sizes_and_types() -> None:
    suite = find_suite("MTEB(eng, v1)")
    counts = {one: sum(task.task_type == one for task in suite.tasks) for one in suite.types}
    assert counts == {
        "Classification": 12,
        "Clustering": 11,
        "PairClassification": 3,
        "Reranking": 4,
        "Retrieval": 15,
        "STS": 10,
        "Summarization": 1,
    }
    assert len(find_suite("MTEB(eng, v2)").tasks) == 41
    assert len(find_suite("NanoBEIR").tasks) == 13
    assert len(suite_tasks()) == 78


def test_an_alias_names_the_same_suite() -> None:
    assert find_suite("MTEB(eng, classic)") == find_suite("MTEB(eng, v1)")


def test_an_unknown_suite_is_answered_with_the_closest() -> None:
    with pytest.raises(RecordError, match="Did you mean 'MTEB\\(eng, v1\\)'"):
        find_suite("MTEB(en, v1)")


def test_look_alikes_are_different_tasks() -> None:
    facts = task_facts()
    assert {
        "SummEval",
        "SummEvalSummarization.v2",
        "STS22",
        "STS22.v2",
        "FEVER",
        "FEVERHardNegatives",
    } <= set(facts)
    assert len(facts["CQADupstackRetrieval"].parts) == 12


def test_pairs_of_languages_are_written_out() -> None:
    subsets = task_facts()["FloresBitextMining"].subsets
    assert len(subsets) == len(set(subsets)) > 40_000
