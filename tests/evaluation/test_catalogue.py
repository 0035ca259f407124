from __future__ import annotations

from importlib import resources

from harness.evaluation.catalogue import mteb_instructions, mteb_task_table, new_task
from harness.evaluation.tasks import register_tasks
from harness.study.catalogue import OWN_TASKS, task_types


def test_the_committed_list_is_that_of_the_installed_mteb() -> None:
    committed = resources.files("harness.study").joinpath("mteb_tasks.tsv").read_text(encoding="utf-8")
    assert committed == mteb_task_table()


def test_own_tasks_have_the_types_that_studies_are_checked_with() -> None:
    register_tasks()
    for name, task_type in OWN_TASKS.items():
        assert new_task(name).metadata.type == task_type == task_types()[name]


def test_every_task_object_is_fresh() -> None:
    assert new_task("STSBenchmark") is not new_task("STSBenchmark")


def test_mtebs_instructions_come_from_the_tasks_metadata_or_its_type() -> None:
    assert mteb_instructions("ArguAna") == {
        "query": "Given a claim, find documents that refute the claim"
    }
    assert set(mteb_instructions("STSBenchmark").values()) == {"Retrieve semantically similar text."}
    assert "document" not in mteb_instructions("AskUbuntuDupQuestions")
    assert set(mteb_instructions("CQADupstackRetrieval").values()) == {
        "Retrieve text based on user query."
    }
