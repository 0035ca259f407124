from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import mteb
import pytest

from harness.errors import DataError, ProbeError
from harness.evaluation.embeddings import EmbeddingCache
from harness.evaluation.encoder import StudyEncoder
from harness.evaluation.mirror import use_mirrors
from harness.evaluation.mteb_runner import evaluate_mteb
from harness.study.recipe import PromptConfig
from tests.evaluation.folders import sentence, write_lines, write_readme
from tests.evaluation.toy import ToyEmbedder


def _encoder(**settings: Any) -> StudyEncoder:
    return StudyEncoder(ToyEmbedder(), prompts=PromptConfig(), name="toy", revision="r", **settings)


def _stock(task: str, mirror: Path) -> dict[tuple[str, str], dict[str, Any]]:
    with use_mirrors([mirror]):
        result = mteb.evaluate(
            _encoder(), mteb.get_task(task), cache=None, co2_tracker=False, show_progress_bar=False
        )
    entries = result.task_results[0].scores.items()
    return {(split, row["hf_subset"]): row for split, rows in entries for row in rows}


@pytest.mark.parametrize("task", ["STSBenchmark", "Banking77Classification", "SciFact"])
def test_scores_are_those_of_plain_mteb(task: str, mirror: Path, tmp_path: Path) -> None:
    scores = evaluate_mteb(_encoder(), task, output=tmp_path, mirrors=[mirror])
    stock = _stock(task, mirror)["test", "default"]
    assert {score.metric: score.value for score in scores} == {
        score.metric: pytest.approx(stock[score.metric], abs=1e-12) for score in scores
    }
    main = [score for score in scores if score.is_main]
    assert [score.value for score in main] == [stock["main_score"]]


def test_scores_say_what_was_measured_and_where_it_stands(
    encoder: StudyEncoder, mirror: Path, tmp_path: Path
) -> None:
    scores = evaluate_mteb(encoder, "SciFact", output=tmp_path, mirrors=[mirror])
    assert [score.metric for score in scores if score.is_main] == ["ndcg_at_10"]
    assert {score.metric for score in scores} == {
        *("ndcg_at_10", "map_at_10", "mrr_at_10", "recall_at_10", "recall_at_100")
    }
    first = scores[0]
    assert (first.task_type, first.split, first.subset) == ("Retrieval", "test", "default")
    assert first.languages == ("eng-Latn",)
    assert first.num_queries == 12
    assert first.evaluator == f"mteb {mteb.__version__}"
    assert first.dataset_revision == mteb.get_task("SciFact").metadata.revision
    assert first.source == "results/harness__toy/revision-1/SciFact.json"
    assert json.loads((tmp_path / first.source).read_text())["task_name"] == "SciFact"
    assert first.prompt_hash
    assert (first.tokens or 0) > 0
    assert "mteb" in first.versions


def test_running_again_gives_the_same_and_leaves_the_random_generators_alone(
    bbc_source: Path, tmp_path: Path
) -> None:
    values = []
    for number in range(2):
        random.seed(number)
        state = random.getstate()
        scores = evaluate_mteb(
            _encoder(), "BBCTopicClustering", output=tmp_path, mirrors=[bbc_source / "mirror"]
        )
        assert random.getstate() == state
        values.append(scores[0].value)
    assert values[0] == values[1]


def test_own_tasks_run_on_a_source_folder_and_share_embeddings(bbc_source: Path, tmp_path: Path) -> None:
    encoder = _encoder(cache=EmbeddingCache(tmp_path / "cache"))
    mirrors = [bbc_source / "mirror"]
    mains = {}
    for task in ("BBCHeadlineRetrieval", "BBCTopicClassification", "BBCTopicClustering"):
        before = encoder.embedder.num_encoded  # type: ignore[attr-defined]
        scores = evaluate_mteb(encoder, task, output=tmp_path / "out", mirrors=mirrors)
        mains[task] = next(score for score in scores if score.is_main)
        assert len(mains[task].dataset_revision) == 16
    assert [score.metric for score in mains.values()] == ["ndcg_at_10", "accuracy", "v_measure"]
    assert all(0 < (score.value or 0) <= 1 for score in mains.values())
    assert {score.num_queries for score in mains.values()} == {30}
    # The clustering texts are the retrieval corpus.
    assert encoder.embedder.num_encoded == before  # type: ignore[attr-defined]


def test_a_dataset_that_the_mirror_lacks_is_named(mirror: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="mteb/nfcorpus is not in the mirror"):
        evaluate_mteb(_encoder(), "NFCorpus", output=tmp_path, mirrors=[mirror])


def test_a_dataset_of_another_shape_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "mteb" / "stsbenchmark-sts"
    write_lines(folder / "train.jsonl", [{"wrong": 1}])
    write_readme(folder, {"other": {"train": "absent.jsonl"}})
    with pytest.raises(DataError, match="STSBenchmark: dataset mteb/stsbenchmark-sts does not load"):
        evaluate_mteb(_encoder(), "STSBenchmark", output=tmp_path / "out", mirrors=[tmp_path])


@pytest.mark.parametrize(("name", "meant"), [("Scifact", "SciFact"), ("STSBenchmrk", "STSBenchmark")])
def test_an_unknown_task_is_refused_with_the_nearest_name(name: str, meant: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"unknown task '{name}'. Did you mean '{meant}'"):
        evaluate_mteb(_encoder(), name, output=tmp_path)


def test_a_task_on_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="only text is evaluated here"):
        evaluate_mteb(_encoder(), "CIFAR10", output=tmp_path)


def test_embeddings_that_are_not_numbers_stop_the_task(mirror: Path, tmp_path: Path) -> None:
    encoder = StudyEncoder(ToyEmbedder(poison="river"), prompts=PromptConfig(), name="toy", revision="r")
    with pytest.raises(ProbeError, match="STSBenchmark"):
        evaluate_mteb(encoder, "STSBenchmark", output=tmp_path, mirrors=[mirror])


def test_a_score_that_mteb_cannot_compute_is_no_number(tmp_path: Path) -> None:
    folder = tmp_path / "mteb" / "stsbenchmark-sts"
    same = {"sentence1": "river", "sentence2": "bridge", "score": 1.0}
    write_lines(folder / "test.jsonl", [same] * 5)
    (score,) = evaluate_mteb(_encoder(), "STSBenchmark", output=tmp_path / "out", mirrors=[tmp_path])
    assert (score.value, score.state) == (None, "failed")
    assert "mteb gave no number" in score.reason


def test_an_aggregate_is_scored_as_the_mean_of_its_parts(mirror: Path, tmp_path: Path) -> None:
    parts = [part.metadata for part in mteb.get_task("CQADupstackRetrieval").metadata.tasks]
    for part in parts:
        shutil.copytree(mirror / "mteb" / "scifact", tmp_path / part.dataset["path"])
    scores = evaluate_mteb(
        _encoder(), "CQADupstackRetrieval", output=tmp_path / "out", mirrors=[tmp_path]
    )
    (score,) = scores
    (first, *_) = evaluate_mteb(_encoder(), "SciFact", output=tmp_path / "out", mirrors=[mirror])
    assert len(parts) == 12
    assert (score.metric, score.state) == ("ndcg_at_10", "ok")
    assert score.value == pytest.approx(first.value, abs=1e-9)
    assert len(list((tmp_path / "out").rglob("CQADupstack*.json"))) == 13


def _write_askubuntu(root: Path, *, with_candidates: bool) -> None:
    rng = random.Random(0)
    folder = root / "mteb" / "AskUbuntuDupQuestions"
    write_lines(folder / "corpus.jsonl", [{"_id": f"d{n}", "text": sentence(rng)} for n in range(30)])
    write_lines(folder / "queries.jsonl", [{"_id": f"q{n}", "text": sentence(rng)} for n in range(5)])
    judged = [{"query-id": f"q{n}", "corpus-id": f"d{n}", "score": 1} for n in range(5)]
    write_lines(folder / "qrels.jsonl", judged)
    candidates = [{"query-id": f"q{n}", "corpus-ids": [f"d{n}", f"d{n + 9}"]} for n in range(5)]
    write_lines(folder / "top_ranked.jsonl", candidates)
    configs = {"corpus": "corpus", "queries": "queries", "default": "qrels"}
    if with_candidates:
        configs["top_ranked"] = "top_ranked"
    write_readme(folder, {name: {"test": f"{file}.jsonl"} for name, file in configs.items()})


def test_a_reranking_set_without_candidates_is_refused(tmp_path: Path) -> None:
    _write_askubuntu(tmp_path / "without", with_candidates=False)
    with pytest.raises(DataError, match="no candidates to rerank"):
        evaluate_mteb(
            _encoder(), "AskUbuntuDupQuestions", output=tmp_path, mirrors=[tmp_path / "without"]
        )
    _write_askubuntu(tmp_path / "with", with_candidates=True)
    scores = evaluate_mteb(
        _encoder(), "AskUbuntuDupQuestions", output=tmp_path, mirrors=[tmp_path / "with"]
    )
    assert scores[0].state == "ok"
    assert (scores[0].value or 0) >= 0.5


@pytest.mark.parametrize(
    ("task", "metric"),
    [
        ("CodeRAGProgrammingSolutions", "ndcg_at_10"),
        ("FarsTail", "max_ap"),
        ("SummEval", "cosine_spearman"),
        ("JSTS", "cosine_spearman"),
        ("MBPPRetrieval", "ndcg_at_10"),
        ("STSBenchmarkMultilingualSTS", "cosine_spearman"),
    ],
)
def test_real_tasks_of_all_types_give_the_scores_of_plain_mteb(
    task: str, metric: str, shared_data: Path, tmp_path: Path
) -> None:
    mirror = shared_data / "mirror"
    scores = evaluate_mteb(_encoder(), task, output=tmp_path, mirrors=[mirror])
    stock = _stock(task, mirror)
    mains = {(score.split, score.subset): score for score in scores if score.is_main}
    assert mains.keys() == stock.keys()
    for key, score in mains.items():
        assert score.metric == metric
        assert score.value == pytest.approx(stock[key]["main_score"], abs=1e-9)
        assert (score.num_queries or 0) > 50
