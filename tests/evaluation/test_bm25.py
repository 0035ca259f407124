from __future__ import annotations

from pathlib import Path

import mteb
import pytest

from harness.evaluation.bm25 import evaluate_bm25_beir, evaluate_bm25_mteb
from harness.evaluation.mirror import use_mirrors
from tests.evaluation.folders import search_data, write_beir_folder


def test_it_is_the_baseline_of_mteb(mirror: Path, tmp_path: Path) -> None:
    scores = evaluate_bm25_mteb("SciFact", output=tmp_path, mirrors=[mirror])
    with use_mirrors([mirror]):
        baseline = mteb.get_model_meta("mteb/baseline-bm25s", fetch_from_hf=False).load_model()
        result = mteb.evaluate(
            baseline, mteb.get_task("SciFact"), cache=None, co2_tracker=False, show_progress_bar=False
        )
    (stock,) = result.task_results[0].scores["test"]
    assert {score.metric: score.value for score in scores} == {
        score.metric: stock[score.metric] for score in scores
    }
    assert scores[0].prompt_hash == ""
    assert scores[0].tokens is None


def test_a_beir_folder_gets_the_same_ranking(mirror: Path, tmp_path: Path) -> None:
    write_beir_folder(tmp_path / "small", *search_data())
    beir = evaluate_bm25_beir("small", folder=tmp_path, output=tmp_path)
    mteb_scores = evaluate_bm25_mteb("SciFact", output=tmp_path, mirrors=[mirror])
    # Between documents of equal score the two packages' MRR, and only theirs, go by different orders.
    ours, theirs = (
        {score.metric: score.value for score in scores if score.metric != "mrr_at_10"}
        for scores in (beir, mteb_scores)
    )
    assert ours == theirs
    # The same evaluator as every other row; the ranker is among the versions.
    assert beir[0].evaluator.startswith("beir ")
    assert "bm25s" in beir[0].versions


@pytest.mark.parametrize("task", ["STSBenchmark", "Banking77Classification", "BBCTopicClustering"])
def test_a_task_that_is_no_search_has_no_value_and_says_why(task: str, tmp_path: Path) -> None:
    (score,) = evaluate_bm25_mteb(task, output=tmp_path)
    assert (score.state, score.value, score.is_main) == ("not_applicable", None, True)
    assert "BM25 ranks documents" in score.reason
    assert (score.split, score.subset) == ("test", "default")
