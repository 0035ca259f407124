from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import RecordError
from harness.records.importing import store_records
from harness.records.per_query import read_study_scores
from harness.records.reading import read_folder
from harness.records.run_files import find_runs, score_file
from harness.records.trec import METRICS, read_judgements, read_run, score_run

RUN = "q1 Q0 d1 1 0.9 x\nq1 Q0 d2 2 0.8 x\nq2 Q0 d3 1 0.7 x\n"
BEIR_QRELS = "query-id\tcorpus-id\tscore\nq1\td2\t1\nq2\td9\t1\n"
TREC_QRELS = "q1 0 d2 1\nq2 0 d9 1\n"

grades = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 2), min_size=1)
found = st.dictionaries(
    st.sampled_from("abcdefghij"), st.integers(0, 1000).map(float), min_size=1, max_size=10
)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["q1", "q2", "q3"]), grades, min_size=1),
    st.data(),
)
def test_scores_are_those_of_ranx(judgements: dict[str, dict[str, int]], data: st.DataObject) -> None:
    ranx = pytest.importorskip("ranx")
    # ranx orders equal scores otherwise: there are none here.
    run = {
        query: {one: score + place / 100 for place, (one, score) in enumerate(data.draw(found).items())}
        for query in judgements
    }
    scores = score_run(run, judgements)
    names = {
        "ndcg_at_10": "ndcg@10",
        "map_at_10": "map@10",
        "recall_at_10": "recall@10",
        "mrr_at_10": "mrr@10",
    }
    relevant = {
        query: {one: max(grade, 0) for one, grade in own.items()} for query, own in judgements.items()
    }
    for ours, theirs in names.items():
        value = ranx.evaluate(ranx.Qrels(relevant), ranx.Run(run), theirs)
        assert scores.mean(ours) == pytest.approx(float(value), abs=1e-6), ours


def test_judged_queries_without_results_count_as_nothing() -> None:
    scores = score_run({"q1": {"d1": 1.0}}, {"q1": {"d1": 1}, "q2": {"d1": 1}})
    assert scores.num_without_results == 1
    assert {metric: scores.mean(metric) for metric in METRICS} == dict.fromkeys(METRICS, 0.5)


def test_both_kinds_of_runs_and_of_judgements_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.run").write_text(RUN, encoding="utf-8")
    plain = {"q1": {"d1": 0.9, "d2": 0.8}, "q2": {"d3": 0.7}}
    (tmp_path / "a.json").write_text(json.dumps(plain), encoding="utf-8")
    assert read_run(tmp_path / "a.run") == read_run(tmp_path / "a.json") == plain
    for text in (BEIR_QRELS, TREC_QRELS):
        (tmp_path / "qrels").write_text(text, encoding="utf-8")
        assert read_judgements(tmp_path / "qrels") == {"q1": {"d2": 1}, "q2": {"d9": 1}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("q1 d1 0.9\n", ":1: 3 columns"),
        (RUN + "q1 Q0 d1 1 0.9 x\n", ":4: document d1 is there twice"),
        ("q1 Q0 d1 1 high x\n", "'high' is no number"),
        ("q1 Q0 d1 1 nan x\n", "the score is nan"),
    ],
)
def test_a_damaged_run_is_told_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.run").write_text(text, encoding="utf-8")
    with pytest.raises(RecordError, match=said):
        read_run(tmp_path / "a.run")


def _beir_layout(root: Path) -> None:
    (root / "scifact" / "qrels").mkdir(parents=True)
    (root / "scifact" / "qrels" / "test.tsv").write_text(BEIR_QRELS, encoding="utf-8")
    (root / "scifact" / "bm25.run").write_text(RUN, encoding="utf-8")


def _plain_layout(root: Path) -> None:
    (root / "qrels").mkdir(parents=True)
    (root / "qrels" / "SciFact.tsv").write_text(BEIR_QRELS, encoding="utf-8")
    (root / "bm25").mkdir()
    (root / "bm25" / "SciFact.run").write_text(RUN, encoding="utf-8")


@pytest.mark.parametrize("lay_out", [_beir_layout, _plain_layout])
def test_a_run_finds_its_judgements_model_and_task(tmp_path: Path, lay_out: object) -> None:
    assert callable(lay_out)
    lay_out(tmp_path / "runs")
    read = read_folder(tmp_path / "runs")
    main = next(one for one in read.records if one.is_main)
    assert (main.variant, main.task, main.split) == ("bm25", "SciFact", "test")
    assert (main.metric, main.num_queries) == ("ndcg_at_10", 2)
    assert main.value == pytest.approx(0.6309297535714575 / 2)
    assert main.remarks == ()
    assert main.evaluator.startswith("pytrec_eval-terrier ")


def test_judgements_may_lie_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "bm25.json").write_text(json.dumps({"q1": {"d2": 1.0}}), encoding="utf-8")
    qrels = tmp_path / "scifact" / "qrels" / "test.tsv"
    qrels.parent.mkdir(parents=True)
    qrels.write_text(BEIR_QRELS, encoding="utf-8")
    (run,) = find_runs(tmp_path / "runs", name="x", qrels=qrels)
    assert (run.model, run.task, run.split) == ("bm25", "SciFact", "test")
    records = score_file(run).records
    assert {one.remarks for one in records} == {("judged_without_results",)}


def test_a_run_without_judgements_is_a_record_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "bm25").mkdir()
    (tmp_path / "bm25" / "SciFact.run").write_text(RUN, encoding="utf-8")
    (record,) = read_folder(tmp_path).records
    assert (record.state, record.value) == ("missing", None)
    assert "no judgements of SciFact" in record.reason


def test_scores_by_query_are_kept_and_their_mean_is_the_record(tmp_path: Path) -> None:
    _plain_layout(tmp_path / "runs")
    target = tmp_path / "to"
    for _ in range(2):
        read = read_folder(tmp_path / "runs")
        store_records(read.records, target, num_files=read.num_files, per_query=read.per_query)
        table = read_study_scores(target / "per_query.parquet")
        assert table is not None
        frame = table.to_pandas()
        assert len(frame) == 2 * len(METRICS)
    assert set(frame["variant"]) == {"bm25"}
    means = frame.groupby("metric", observed=True)["value"].mean()
    for record in read.records:
        assert means[record.metric] == pytest.approx(record.value)


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
    with pytest.raises(RecordError, match="no result files of mteb and no runs"):
        read_folder(tmp_path)
