"""The project's own mteb tasks, and their registration with mteb.

Owns three small English tasks over BBC news articles, on data that a `bbc` source makes. The rule: they
are ordinary mteb tasks, found by `mteb.get_task` and scored by mteb's code; only their datasets are
ours, read from a mirror as `harness/<dataset>`. Making the data is left to `harness.data`, and
passkeys to `passkey`.
"""

from __future__ import annotations

import sys
from typing import Any

from mteb.abstasks import AbsTaskClassification, AbsTaskClustering, AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata

from harness.evaluation.passkey import PasskeyRetrieval
from harness.study.catalogue import BBC_TASKS

_SETTING: dict[str, Any] = {
    "category": "t2t",
    "modalities": ["text"],
    "eval_langs": ["eng-Latn"],
    "eval_splits": ["test"],
    "domains": ["News", "Written"],
    "reference": "http://mlg.ucd.ie/datasets/bbc.html",
}


def _metadata(name: str, *, dataset: str, main_score: str, description: str) -> TaskMetadata:
    return TaskMetadata(
        name=name,
        type=BBC_TASKS[name],
        main_score=main_score,
        description=description,
        dataset={"path": f"harness/{dataset}", "revision": "1"},
        **_SETTING,
    )


class BBCHeadlineRetrieval(AbsTaskRetrieval):
    """Find the article that belongs to a headline; the articles come without their headlines."""

    metadata = _metadata(
        "BBCHeadlineRetrieval",
        dataset="bbc-headline-retrieval",
        main_score="ndcg_at_10",
        description="BBC news: the headline is the query, the body of its article the one right answer.",
    )


class BBCTopicClassification(AbsTaskClassification):
    """Tell the topic of an article out of five from eight labelled articles a topic."""

    metadata = _metadata(
        "BBCTopicClassification",
        dataset="bbc-topic-classification",
        main_score="accuracy",
        description="BBC news: business, entertainment, politics, sport or tech.",
    )


class BBCTopicClustering(AbsTaskClustering):
    """Group articles so that groups and topics agree."""

    # All articles are embedded: the default share of four in a hundred is meant for large sets.
    max_fraction_of_documents_to_embed = None
    max_document_to_embed = None
    max_documents_per_cluster = 2048

    metadata = _metadata(
        "BBCTopicClustering",
        dataset="bbc-topic-clustering",
        main_score="v_measure",
        description="BBC news: articles of five topics.",
    )


def register_tasks() -> None:
    """Let `mteb.get_task` find the project's own tasks; any number of calls is one."""
    # The attribute mteb.get_tasks is the function of that name, hence the way over sys.modules.
    registry = sys.modules["mteb.get_tasks"]._TASKS_REGISTRY
    for task in (
        BBCHeadlineRetrieval,
        BBCTopicClassification,
        BBCTopicClustering,
        PasskeyRetrieval,
    ):
        registry[task.metadata.name] = task
