"""What evaluations keep of single queries is what their scores are means of."""

from __future__ import annotations

import math
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import mteb
import pyarrow.parquet as pq
import pytest

from harness.errors import ProbeError
from harness.evaluation.beir_runner import evaluate_beir
from harness.evaluation.bm25 import evaluate_bm25_beir
from harness.evaluation.encoder import StudyEncoder
from harness.evaluation.identities import check_first_place, check_query, check_reported
from harness.evaluation.mteb_runner import evaluate_mteb
from harness.evaluation.scores import Score
from tests.evaluation.folders import search_data, write_beir_folder


def _means(folder: Path) -> dict[tuple[str, str], float]:
    """Return (task, metric) -> mean over subsets of the mean over units, as a reader would take it."""
    inside: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in pq.read_table(folder / "per_query.parquet").to_pylist():
        inside[line["task"], line["metric"]][line["subset"]].append(line["value"])
    return {
        key: math.fsum(math.fsum(values) / len(values) for values in parts.values()) / len(parts)
        for key, parts in inside.items()
    }


def _reported(scores: list[Score]) -> dict[tuple[str, str], float]:
    return {(one.task, one.metric): one.value for one in scores if one.value is not None}


@pytest.mark.parametrize("task", ["SciFact", "Banking77Classification"])
def test_the_mean_of_what_is_kept_is_the_score(
    task: str, encoder: StudyEncoder, mirror: Path, tmp_path: Path
) -> None:
    scores = evaluate_mteb(encoder, task, output=tmp_path, mirrors=[mirror])
    kept = _means(tmp_path)
    for key, value in _reported(scores).items():
        assert kept[key] == pytest.approx(value, abs=1.1e-5)


def test_the_hundred_best_documents_are_kept_in_order(
    encoder: StudyEncoder, mirror: Path, tmp_path: Path
) -> None:
    evaluate_mteb(encoder, "SciFact", output=tmp_path, mirrors=[mirror])
    by_query: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in pq.read_table(tmp_path / "top.parquet").to_pylist():
        by_query[line["query_id"]].append(line)
    assert len(by_query) == 12
    for lines in by_query.values():
        assert [line["rank"] for line in lines] == list(range(1, len(lines) + 1))
        scores = [line["score"] for line in lines]
        assert scores == sorted(scores, reverse=True)
        assert len(lines) <= 100


def test_beir_and_lexical_search_keep_their_queries_too(encoder: StudyEncoder, tmp_path: Path) -> None:
    write_beir_folder(tmp_path / "small", *search_data())
    for number, scores in enumerate(
        (
            evaluate_beir(encoder, "small", folder=tmp_path, output=tmp_path / "0"),
            evaluate_bm25_beir("small", folder=tmp_path, output=tmp_path / "1"),
        )
    ):
        kept = _means(tmp_path / str(number))
        for (task, metric), value in _reported(scores).items():
            if metric != "mrr_at_10":
                assert kept[task, metric] == pytest.approx(value, abs=1.1e-5)


def test_repeated_experiments_are_told_from_queries(
    encoder: StudyEncoder, mirror: Path, bbc_source: Path, tmp_path: Path
) -> None:
    evaluate_mteb(encoder, "Banking77Classification", output=tmp_path, mirrors=[mirror])
    clustering = [bbc_source / "mirror"]
    evaluate_mteb(encoder, "BBCTopicClustering", output=tmp_path, mirrors=clustering)
    lines = pq.read_table(tmp_path / "per_query.parquet").to_pylist()
    assert {line["unit"] for line in lines} == {"experiment"}
    assert {line["task"] for line in lines} == {"Banking77Classification", "BBCTopicClustering"}


def test_a_task_scored_again_replaces_its_lines(
    encoder: StudyEncoder, mirror: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        evaluate_mteb(encoder, "SciFact", output=tmp_path, mirrors=[mirror])
    table = pq.read_table(tmp_path / "per_query.parquet")
    assert table.num_rows == 12 * 5


def test_a_task_without_queries_or_experiments_keeps_nothing(
    encoder: StudyEncoder, mirror: Path, tmp_path: Path
) -> None:
    evaluate_mteb(encoder, "STSBenchmark", output=tmp_path, mirrors=[mirror])
    assert not (tmp_path / "per_query.parquet").exists()


def test_the_parts_of_an_aggregate_count_once_each(
    encoder: StudyEncoder, mirror: Path, tmp_path: Path
) -> None:
    for part in mteb.get_task("CQADupstackRetrieval").metadata.tasks:
        shutil.copytree(mirror / "mteb" / "scifact", tmp_path / part.metadata.dataset["path"])
    output = tmp_path / "out"
    (score,) = evaluate_mteb(encoder, "CQADupstackRetrieval", output=output, mirrors=[tmp_path])
    assert _means(output)["CQADupstackRetrieval", "ndcg_at_10"] == pytest.approx(score.value, abs=1.1e-5)
    subsets = set(pq.read_table(output / "per_query.parquet")["subset"].to_pylist())
    assert len(subsets) == 12


def test_metrics_that_contradict_each_other_are_refused() -> None:
    check_query({"recall_1": 0.1, "recall_10": 0.4, "P_1": 1, "success_1": 1}, task="T", query="q")
    with pytest.raises(ProbeError, match=r"recall@10 0.4 but recall@100 0.3"):
        check_query({"recall_10": 0.4, "recall_100": 0.3}, task="T", query="q")
    with pytest.raises(ProbeError, match="P@1 1 but success@1 0"):
        check_query({"P_1": 1, "success_1": 0}, task="T", query="q")
    check_first_place({"precision_at_1": 0.5, "mrr_at_1": 0.500005}, task="T")
    with pytest.raises(ProbeError, match=r"P@1 is 0.36 but MRR@1 is 0.72"):
        check_first_place({"precision_at_1": 0.36, "mrr_at_1": 0.72}, task="T")
    check_reported(0.123454, 0.12345, task="T", metric="m")
    for wrong in (0.2, float("nan")):
        with pytest.raises(ProbeError, match=r"m is reported as 0.1"):
            check_reported(wrong, 0.1, task="T", metric="m")


def test_a_score_that_is_not_the_mean_over_its_queries_is_refused(
    encoder: StudyEncoder, mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mteb._evaluators import retrieval_metrics

    original = retrieval_metrics.parse_metrics_from_scores

    def inflate(*arguments: Any) -> Any:
        ndcg, *rest = original(*arguments)
        return ({name: value + 0.01 for name, value in ndcg.items()}, *rest)

    monkeypatch.setattr(retrieval_metrics, "parse_metrics_from_scores", inflate)
    with pytest.raises(ProbeError, match="its queries have the mean"):
        evaluate_mteb(encoder, "SciFact", output=tmp_path, mirrors=[mirror])
