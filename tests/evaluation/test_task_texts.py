"""The texts that a task is scored on are those that its evaluation embeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.evaluation.encoder import StudyEncoder
from harness.evaluation.mteb_runner import evaluate_mteb
from harness.evaluation.task_texts import beir_task_texts, mteb_task_texts
from harness.study.benchmarks import Limits
from harness.study.recipe import PromptConfig
from tests.evaluation.folders import read_packed, search_data, write_beir_folder
from tests.evaluation.toy import ToyEmbedder
from tests.evaluation.trimmed import write_multilabel, write_reranking


def _texts(task: str, mirror: Path, scratch: Path, limits: Limits = Limits()) -> set[tuple[str, str]]:  # noqa: B008
    return set(mteb_task_texts(task, scratch=scratch, mirrors=[mirror], limits=limits))


def _embedded(task: str, mirror: Path, output: Path) -> set[str]:
    seen: set[str] = set()

    class Listening(ToyEmbedder):
        def encode(self, texts: Sequence[str], **settings: Any) -> np.ndarray:
            seen.update(texts)
            return super().encode(texts, **settings)

    encoder = StudyEncoder(Listening(), prompts=PromptConfig(), name="toy", revision="r")
    evaluate_mteb(encoder, task, output=output, mirrors=[mirror])
    return seen


@pytest.mark.parametrize("task", ["SciFact", "STSBenchmark", "AskUbuntuDupQuestions"])
def test_they_are_those_that_are_embedded(task: str, mirror: Path, tmp_path: Path) -> None:
    if task == "AskUbuntuDupQuestions":
        mirror = tmp_path / "mirror"
        write_reranking(mirror / "mteb" / task)
    found = _texts(task, mirror, tmp_path / "scratch")
    embedded = _embedded(task, mirror, tmp_path / "out")
    # Reranking embeds the candidates alone; all documents may be known from training.
    assert embedded <= {text for _, text in found}
    assert {kind for kind, _ in found} == ({"text"} if task == "STSBenchmark" else {"query", "document"})


def test_what_a_classifier_is_trained_on_is_no_evaluation_text(mirror: Path, tmp_path: Path) -> None:
    found = _texts("Banking77Classification", mirror, tmp_path)
    assert len(found) == 80
    write_multilabel(tmp_path / "more")
    found = _texts("CEDRClassification", tmp_path / "more", tmp_path / "scratch")
    assert 70 < len(found) <= 80


def test_a_beir_folder_has_its_queries_and_its_corpus(tmp_path: Path) -> None:
    corpus, queries, judged = search_data(documents=10, queries=3, copies=0)
    write_beir_folder(tmp_path / "small", corpus, queries, judged)
    found = list(beir_task_texts("small", folder=tmp_path, split="test"))
    assert [text for kind, text in found if kind == "query"] == [row["text"] for row in queries]
    assert ("document", f"{corpus[0]['title']} {corpus[0]['text']}") in found


@pytest.mark.parametrize(
    ("task", "subsets"),
    [
        ("SummEval", None),
        ("SIB200ClusteringS2S", ("eng_Latn",)),
        ("FarsTail", None),
        ("MBPPRetrieval", None),
    ],
)
def test_real_tasks_of_other_types_tell_theirs(
    task: str, subsets: tuple[str, ...] | None, shared_data: Path, tmp_path: Path
) -> None:
    mirror = shared_data / "mirror"
    found = _texts(task, mirror, tmp_path, Limits(subsets=subsets))
    assert len(found) > 100
    if task == "SummEval":
        rows = read_packed(mirror / "mteb" / "summeval" / "test.jsonl.gz")
        assert {("text", one) for one in rows[0]["machine_summaries"]} <= found
