"""How much text a task has is known without mteb or data."""

from __future__ import annotations

from harness.study.benchmarks import Limits, Selection, select_tasks
from harness.study.task_facts import is_text_task, task_parts
from harness.study.task_sizes import TaskSize, task_size


def test_the_sizes_are_those_of_the_printed_statistics() -> None:
    # BEIR prints 5,183 documents and 300 queries for SciFact.
    assert task_size("SciFact") == TaskSize(num_texts=5483, num_characters=7798555, num_queries=300)
    banking = task_size("Banking77Classification")
    assert banking is not None
    assert (banking.num_texts, banking.num_queries) == (3080, 0)


def test_what_a_suite_leaves_out_is_not_counted() -> None:
    whole = task_size("STS22")
    english = task_size("STS22", Limits(subsets=("en",)))
    two = task_size("STS22", Limits(subsets=("en", "de")))
    german = task_size("STS22", Limits(subsets=("de",)))
    assert whole is not None
    assert english is not None
    assert german is not None
    assert two == english + german
    assert two.num_texts < whole.num_texts
    assert task_size("STS22", Limits(splits=("nowhere",))) is None


def test_an_aggregate_is_the_sum_of_its_parts() -> None:
    parts = [task_size(part) for part in task_parts("CQADupstackRetrieval")]
    whole = task_size("CQADupstackRetrieval")
    assert whole is not None
    assert whole.num_queries == sum(part.num_queries for part in parts if part is not None) > 10_000


def test_passkey_retrieval_grows_with_its_lengths() -> None:
    short, both = (
        task_size("PasskeyRetrieval", Limits(subsets=subsets)) for subsets in (("256",), ("256", "512"))
    )
    assert short is not None
    assert both is not None
    assert both.num_queries == 2 * short.num_queries == 100
    assert both.num_characters == 3 * short.num_characters


def test_every_task_of_the_usual_benchmarks_has_a_size() -> None:
    for name in ("MTEB(eng, v1)", "MTEB(eng, v2)", "BEIR", "NanoBEIR", "LongEmbed"):
        for task, limits in select_tasks(Selection(benchmark=name)).items():
            assert is_text_task(task)
            assert task_size(task, limits) is not None, task


def test_what_is_not_known_is_none() -> None:
    assert task_size("BBCTopicClustering") is None
