from __future__ import annotations

from importlib import resources

from harness.evaluation.catalogue import mteb_task_table, new_task
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
