from __future__ import annotations

from importlib import resources

import mteb
import pytest
from mteb.abstasks.aggregated_task import AbsTaskAggregate

from harness.evaluation.catalogue import new_task
from harness.evaluation.task_facts import make_task_facts
from harness.study.benchmarks import Selection, select_tasks
from harness.study.catalogue import task_types
from harness.study.task_facts import is_text_task, subset_languages, task_datasets


def test_the_committed_facts_are_those_of_the_installed_mteb() -> None:
    committed = resources.files("harness.study").joinpath("mteb_facts.json").read_text(encoding="utf-8")
    assert committed == make_task_facts()


@pytest.mark.parametrize(
    "name", ["MTEB(eng, v1)", "MTEB(eng, v2)", "MTEB(Multilingual, v2)", "BEIR", "NanoBEIR", "LongEmbed"]
)
def test_a_benchmark_is_scored_on_what_mtebs_own_object_holds(name: str) -> None:
    ours = {
        task: new_task(task, limits) for task, limits in select_tasks(Selection(benchmark=name)).items()
    }
    theirs = {task.metadata.name: task for task in mteb.get_benchmark(name).tasks}
    assert ours.keys() == theirs.keys()
    for task, job in ours.items():
        assert list(job.eval_splits) == list(theirs[task].eval_splits)
        assert set(job.hf_subsets) == set(theirs[task].hf_subsets)


def test_languages_filter_as_mtebs_exclusive_filter_does() -> None:
    for task in (
        "STS17",
        "STS22",
        "XNLI",
        "Tatoeba",
        "FloresBitextMining",
        "AmazonReviewsClassification",
    ):
        (limits,) = select_tasks(Selection(tasks=(task,), languages=("eng", "deu-Latn"))).values()
        stock = mteb.get_task(task, languages=["eng", "deu-Latn"], exclusive_language_filter=True)
        assert set(limits.subsets or ()) == set(stock.hf_subsets)


def test_datasets_are_at_the_revision_that_mteb_pins() -> None:
    for name in ("SciFact", "CQADupstackRetrieval", "STS17", "BelebeleRetrieval"):
        job = mteb.get_task(name)
        parts = job.metadata.tasks if isinstance(job, AbsTaskAggregate) else [job]
        pinned = {(part.metadata.dataset["path"], part.metadata.dataset["revision"]) for part in parts}
        assert {(one.name, one.revision) for one in task_datasets(name)} == pinned


def test_text_tasks_are_told_from_others() -> None:
    for name in ("SciFact", "CIFAR10", "PasskeyRetrieval", "BBCTopicClustering"):
        job = mteb.get_task(name) if name == "CIFAR10" else new_task(name)
        assert is_text_task(name) == (set(job.metadata.modalities) == {"text"})
        if is_text_task(name):
            assert dict(subset_languages(name)) == {
                subset: tuple(languages)
                for subset, languages in job.metadata.hf_subsets_to_langscripts.items()
            }
    assert sum(map(is_text_task, task_types())) > 1000
