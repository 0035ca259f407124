"""Each measure against stock mteb, on the same data with the same model."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets
import mteb
import mteb.abstasks.clustering as fast
import numpy as np
import pytest
from mteb._evaluators.clustering_evaluator import ClusteringEvaluator
from mteb.models.model_meta import ScoringFunction

from harness.evaluation import overheads
from harness.evaluation.beir_data import load_beir
from harness.evaluation.encoder import StudyEncoder
from harness.evaluation.mirror import use_mirrors
from harness.evaluation.overheads import without_overheads
from harness.evaluation.overheads.clustering import single_threaded_clustering
from harness.evaluation.overheads.labels import labels_as_list
from harness.evaluation.overheads.search import StreamingSearch, corpus_texts
from harness.study.recipe import PromptConfig
from tests.evaluation.folders import search_data, write_beir_folder
from tests.evaluation.toy import ToyEmbedder


def _encoder(**settings: Any) -> StudyEncoder:
    return StudyEncoder(ToyEmbedder(), prompts=PromptConfig(), name="toy", revision="r", **settings)


def _scores(model: Any, task: Any) -> Any:
    found = mteb.evaluate(model, task, cache=None, co2_tracker=False, show_progress_bar=False)
    scores = copy.deepcopy(found.task_results[0].scores)
    for entry in (entry for entries in scores.values() for entry in entries):
        entry.pop("mteb_version", None)
    return scores


@contextmanager
def _kept_rankings(task: Any) -> Iterator[list[dict[str, dict[str, float]]]]:
    kept: list[dict[str, dict[str, float]]] = []

    def keep(scores: Any, qrels: Any, results: Any, **_: Any) -> dict[str, float]:
        kept.append({query: dict(found) for query, found in results.items()})
        return {}

    task.task_specific_scores = keep
    yield kept


@pytest.mark.parametrize("ignores_own", [False, True])
def test_streaming_search_scores_and_ranks_as_mteb_does_ties_included(
    mirror: Path, ignores_own: bool
) -> None:
    found = []
    for is_streaming in (False, True):
        with use_mirrors([mirror]):
            task = mteb.get_task("SciFact")
            task.ignore_identical_ids = ignores_own
            task.load_data()
            data = task.dataset["default"]["test"]
            # One query has a document's id, and copied documents tie.
            data["queries"] = data["queries"].map(lambda row: {"id": row["id"].replace("q3", "d4")})
            data["relevant_docs"] = {
                query.replace("q3", "d4"): dict(judged)
                for query, judged in data["relevant_docs"].items()
            }
            model: Any = _encoder()
            with _kept_rankings(task) as kept:
                scores = _scores(StreamingSearch(model) if is_streaming else model, task)
        found.append((scores, kept))
    (stock, stock_rankings), (ours, our_rankings) = found
    assert len(stock["test"][0]) > 100
    assert str(ours) == str(stock)
    (stock_ranking,), (our_ranking,) = stock_rankings, our_rankings
    assert ("d4" in our_ranking["d4"]) is not ignores_own
    for query, scores in stock_ranking.items():
        assert our_ranking[query] == pytest.approx(scores, abs=1e-6)
        ranked = sorted(our_ranking[query].items(), key=lambda item: (item[1], item[0]), reverse=True)
        assert list(our_ranking[query].items()) == ranked


def test_the_texts_of_a_corpus_are_those_of_mtebs_loader() -> None:
    from mteb._create_dataloaders import create_dataloader
    from mteb.types import PromptType

    rows = [
        {"id": "a", "title": "", "text": " body "},
        {"id": "b", "title": " Title", "text": "body\n"},
        {"id": "c", "title": "T", "text": ""},
    ]
    task = mteb.get_task("SciFact")
    for columns in (["id", "title", "text"], ["id", "text"]):
        corpus = datasets.Dataset.from_list(rows).select_columns(columns)
        loader = create_dataloader(
            corpus, task_metadata=task.metadata, prompt_type=PromptType.document, batch_size=2
        )
        assert corpus_texts(corpus) == [text for batch in loader for text in batch["text"]]


@pytest.mark.parametrize("similarity", [ScoringFunction.DOT_PRODUCT, ScoringFunction.EUCLIDEAN])
def test_other_similarities_rank_as_mteb_ranks_them(
    mirror: Path, similarity: ScoringFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mteb.similarity_functions import dot_score, euclidean_sim

    function = {ScoringFunction.DOT_PRODUCT: dot_score, ScoringFunction.EUCLIDEAN: euclidean_sim}
    monkeypatch.setattr(
        StudyEncoder, "similarity", lambda _, one, other: function[similarity](one, other)
    )
    found = []
    for wrap in (lambda model: model, StreamingSearch):
        model = _encoder(normalize=False)
        model.mteb_model_meta = model.mteb_model_meta.model_copy(
            update={"similarity_fn_name": similarity}
        )
        with use_mirrors([mirror]):
            found.append(_scores(wrap(model), mteb.get_task("SciFact")))
    assert str(found[0]) == str(found[1])


def test_our_beir_ranking_is_that_of_beirs_own_search(tmp_path: Path) -> None:
    import torch
    from beir.retrieval.search.dense import DenseRetrievalExactSearch

    from harness.evaluation.beir_runner import rank_beir

    corpus, queries, judged = search_data()
    queries[1]["_id"] = "d5"
    judged = [{**row, "query-id": {"q1": "d5"}.get(row["query-id"], row["query-id"])} for row in judged]
    write_beir_folder(tmp_path / "set", corpus, queries, [row for row in judged if row["score"]])
    data = load_beir("set", tmp_path)
    embedder = ToyEmbedder()

    class Model:
        def encode_queries(self, texts: list[str], **_: Any) -> torch.Tensor:
            return torch.from_numpy(embedder.encode(texts))

        def encode_corpus(self, documents: list[dict[str, str]], **_: Any) -> torch.Tensor:
            texts = [f"{one['title']} {one['text']}".strip() for one in documents]
            return torch.from_numpy(embedder.encode(texts))

    stock = DenseRetrievalExactSearch(Model(), show_progress_bar=False).search(
        data.corpus, data.queries, 1000, "cos_sim"
    )
    ours = rank_beir(_encoder(), "set", data)
    assert "d5" in ours
    assert "d5" not in ours["d5"]
    assert ours.keys() == stock.keys()
    for query, found in stock.items():
        assert ours[query] == pytest.approx(found, abs=1e-6)


def test_labels_read_as_a_list_give_the_same_sample_and_the_same_scores() -> None:
    labels = np.random.default_rng(0).integers(0, 5, size=300).tolist()
    data = datasets.Dataset.from_dict({"text": [str(n) for n in range(300)], "label": labels})
    predicted = np.random.default_rng(1).integers(0, 5, size=300)
    stock, ours = (mteb.get_task("Banking77Classification") for _ in range(2))
    indices: dict[str, list[int] | None] = {"stock": None, "ours": None}
    with labels_as_list(ours):
        assert "_undersample_data" in vars(ours)
        for experiment in range(3):
            results = {}
            for name, task in (("stock", stock), ("ours", ours)):
                sample, indices[name], chosen = task._undersample_data(data, experiment, indices[name])
                results[name] = (list(sample["text"]), list(indices[name] or ()), chosen)
            assert results["stock"] == results["ours"]
        assert stock._calculate_scores(data["label"], predicted) == ours._calculate_scores(
            data["label"], predicted
        )
    assert vars(ours).keys() == vars(stock).keys()


def test_tasks_that_are_no_plain_classification_are_left_alone() -> None:
    for name in ("STSBenchmark", "SciFact", "CQADupstackRetrieval"):
        task = mteb.get_task(name)
        before = dict(vars(task))
        with labels_as_list(task):
            assert vars(task) == before


@pytest.mark.parametrize("task", ["Banking77Classification", "BBCTopicClustering"])
def test_a_whole_task_scores_as_without_measures(task: str, mirror: Path, bbc_source: Path) -> None:
    from harness.evaluation.catalogue import new_task

    found = []
    for is_spared in (False, True):
        with use_mirrors([mirror, bbc_source / "mirror"]):
            job = new_task(task)
            job.load_data()
            model = _encoder()
            if is_spared:
                with without_overheads(model, job) as spared:
                    found.append(_scores(spared, job))
            else:
                found.append(_scores(model, job))
    assert str(found[0]) == str(found[1])


def test_both_kinds_of_clustering_group_alike_on_one_thread_and_are_given_back() -> None:
    import random

    generator = np.random.default_rng(0)
    points = generator.standard_normal((400, 8)) + np.repeat(np.eye(8)[:4] * 4, 100, axis=0)
    labels = [[str(number)] for number in np.repeat(np.arange(4), 100)]
    rows = datasets.Dataset.from_dict({"sentences": [""] * 400, "labels": [one[0] for one in labels]})

    class Points:
        def encode(self, *_: Any, **__: Any) -> np.ndarray:
            return points

    def both() -> tuple[Any, Any]:
        settings = {
            "n_clusters": 3,
            "cluster_size": 600,
            "kmean_batch_size": 128,
            "max_depth": None,
            "rng_state": random.Random(1),
            "seed": 1,
        }
        evaluator = ClusteringEvaluator(
            rows,
            input_column_name="sentences",
            label_column_name="labels",
            task_metadata=mteb.get_task("BiorxivClusteringS2S").metadata,
            hf_split="test",
            hf_subset="default",
            timer=mteb.timing.TimingStack(),
        )
        bootstrapped = fast._evaluate_clustering_bootstrapped(points, labels, **settings)
        return bootstrapped, evaluator(Points(), encode_kwargs={"batch_size": 32})

    before = fast.MiniBatchKMeans
    stock = both()
    with single_threaded_clustering():
        assert fast.MiniBatchKMeans is not before
        assert both() == stock
    assert fast.MiniBatchKMeans is before


def test_another_mteb_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    model, task = _encoder(), mteb.get_task("SciFact")
    with without_overheads(model, task) as spared:
        assert isinstance(spared, StreamingSearch)
    monkeypatch.setattr(overheads, "TESTED", "1.0.")
    with without_overheads(model, task) as spared:
        assert spared is model
