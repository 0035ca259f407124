from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.records.layout import find_places
from harness.records.mteb_records import FORMER_MAIN_SCORE, records_of
from harness.records.schema import Record
from tests.records.result_files import REVISION, former, scores_file, today, write_file


def _records(tmp_path: Path, task: str, content: Any) -> dict[tuple[str, str, str], Record]:
    write_file(tmp_path / "results" / "m" / REVISION, task, content)
    (place,) = find_places(tmp_path / "results", name="x")
    found = records_of(place, place.path.read_bytes())
    assert all(one.source == f"x/m/{REVISION}/{task}.json" for one in found)
    return {(one.split, one.subset, one.metric): one for one in found}


def _entry(**metrics: Any) -> Mapping[str, Any]:
    return {"hf_subset": "default", "languages": ["eng-Latn"], **metrics}


def test_a_plain_file_is_one_record_with_all_that_the_file_says(tmp_path: Path) -> None:
    (record,) = _records(tmp_path, "SciFact", today("SciFact", "test", "default", 0.7)).values()
    assert (record.variant, record.revision, record.task_type) == ("m", REVISION, "Retrieval")
    assert (record.state, record.value, record.metric, record.is_main) == ("ok", 0.7, "ndcg_at_10", True)
    assert (record.evaluator, record.dataset_revision, record.wall_seconds) == (
        "mteb 1.34.7",
        "abc",
        1.5,
    )
    assert record.languages == ("eng-Latn",)
    assert record.suite == ""


def test_pairs_keep_the_cosine_beside_the_best_similarity(tmp_path: Path) -> None:
    found = _records(tmp_path, "TwitterURLCorpus", today("TwitterURLCorpus", "test", "default", 0.8))
    values = {metric: (one.value, one.is_main) for (_, _, metric), one in found.items()}
    assert values == {"max_ap": (0.8, True), "cosine_ap": (0.79, False)}


def test_another_split_never_stands_in(tmp_path: Path) -> None:
    found = _records(tmp_path, "MSMARCO", today("MSMARCO", "test", "default", 0.6))
    absent = found["dev", "default", "ndcg_at_10"]
    assert (absent.state, absent.value) == ("missing_split", None)
    assert "split dev is not there; there is test" in absent.reason
    assert found["test", "default", "ndcg_at_10"].value == 0.6


def test_another_name_of_a_split_is_the_split(tmp_path: Path) -> None:
    found = _records(tmp_path, "MSMARCO", today("MSMARCO", "validation", "default", 0.4))
    assert set(found) == {("validation", "default", "ndcg_at_10")}


def test_another_subset_never_stands_in(tmp_path: Path) -> None:
    found = _records(tmp_path, "STS22", former("STS22", "test", "fr", 0.6))
    absent = found["test", "en", "cosine_spearman"]
    assert (absent.state, absent.value) == ("missing_subset", None)
    assert "subset en is not there; there is fr" in absent.reason


def test_another_metric_never_stands_in(tmp_path: Path) -> None:
    content = scores_file("SciFact", {"test": [_entry(ndcg_at_5=0.6, main_score=0.6)]})
    found = _records(tmp_path, "SciFact", content)
    absent = found["test", "default", "ndcg_at_10"]
    assert (absent.state, absent.value) == ("other_metric", None)
    assert "it has main_score, ndcg_at_5" in absent.reason


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_what_is_no_number_is_said_to_be_none(tmp_path: Path, value: float | None) -> None:
    content = scores_file("SciFact", {"test": [_entry(ndcg_at_10=value, main_score=value)]})
    record = _records(tmp_path, "SciFact", content)["test", "default", "ndcg_at_10"]
    assert (record.state, record.value) == ("not_a_number", None)


def test_percentages_are_not_taken_for_shares(tmp_path: Path) -> None:
    content = scores_file("SciFact", {"test": [_entry(ndcg_at_10=70.0, main_score=70.0)]})
    record = _records(tmp_path, "SciFact", content)["test", "default", "ndcg_at_10"]
    assert (record.state, record.value) == ("out_of_range", None)
    assert "70.0" in record.reason


@pytest.mark.parametrize(
    ("second", "state", "value"),
    [(0.7, "ok", 0.7), (0.7 + 1e-9, "ok", 0.7), (0.71, "two_values", None), (None, "two_values", None)],
)
def test_a_subset_that_stands_twice_in_a_file_has_a_value_only_if_both_agree(
    second: float | None, state: str, value: float | None, tmp_path: Path
) -> None:
    entries = [_entry(ndcg_at_10=one, main_score=one) for one in (0.7, second)]
    content = scores_file("SciFact", {"test": entries})
    record = _records(tmp_path, "SciFact", content)["test", "default", "ndcg_at_10"]
    assert (record.state, record.value) == (state, value)
    if value is None:
        assert record.source in record.reason
        assert "stands in it 2 times, with 0.7, " in record.reason


def test_a_wrong_main_score_of_a_former_file_is_kept_and_shown_nowhere(tmp_path: Path) -> None:
    task = "ToxicConversationsClassification"
    content = {
        "test": {"accuracy": 0.65, "ap": 0.12, "main_score": 0.12},
        "mteb_version": "0.0.2",
        "mteb_dataset_name": task,
    }
    found = _records(tmp_path, task, content)
    assert found["test", "default", "accuracy"].value == 0.65
    assert found["test", "default", "accuracy"].remarks == ("recorded_main_differs",)
    assert found["test", "default", FORMER_MAIN_SCORE].value == 0.12
    assert not found["test", "default", FORMER_MAIN_SCORE].is_main


def test_a_recorded_main_score_of_todays_files_is_a_record_of_its_own(tmp_path: Path) -> None:
    content = scores_file("TwitterURLCorpus", {"test": [_entry(cosine_ap=0.7, main_score=0.75)]})
    found = _records(tmp_path, "TwitterURLCorpus", content)
    assert found["test", "default", "main_score"].value == 0.75
    assert found["test", "default", "cosine_ap"].value == 0.7
    assert found["test", "default", "max_ap"].state == "other_metric"


def test_the_models_own_similarity_stands_for_the_cosine_under_a_remark(tmp_path: Path) -> None:
    content = scores_file("TwitterURLCorpus", {"test": [_entry(similarity_ap=0.7, max_ap=0.8)]})
    record = _records(tmp_path, "TwitterURLCorpus", content)["test", "default", "cosine_ap"]
    assert (record.value, record.remarks) == (0.7, ("other_spelling",))


def test_a_file_of_another_task_is_not_read(tmp_path: Path) -> None:
    (record,) = _records(tmp_path, "SummEval", today("SciFact", "test", "default", 0.7)).values()
    assert (record.state, record.value) == ("unreadable", None)
    assert "holds the task SciFact" in record.reason


def test_a_damaged_file_is_a_record_that_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "m" / REVISION
    folder.mkdir(parents=True)
    (folder / "SciFact.json").write_text('{"scores": {"test": [{"ndcg', encoding="utf-8")
    (place,) = find_places(tmp_path / "results", name="x")
    (record,) = records_of(place, place.path.read_bytes())
    assert record.state == "unreadable"
    assert "SciFact.json: not JSON" in record.reason


def test_a_task_of_no_suite_has_its_recorded_main_score(tmp_path: Path) -> None:
    content = scores_file("OurOwnTask", {"test": [_entry(accuracy=0.9, main_score=0.9)]})
    (record,) = _records(tmp_path, "OurOwnTask", content).values()
    assert (record.metric, record.value, record.task_type) == ("main_score", 0.9, "")
