"""One command trains, evaluates and tables a study; the next one reuses everything."""

from __future__ import annotations

import csv
import json
import shutil
from typing import Any

import pytest

from tests.command import run_harness
from tests.end_to_end.conftest import NUM_STEPS, Desk

Finished = tuple[Desk, dict[str, Any]]


def _records(desk: Desk) -> list[dict[str, Any]]:
    path = desk.home / "studies" / "tiny-study" / "records.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_step_ran_and_every_file_is_there(finished: Finished) -> None:
    desk, said = finished
    assert said["steps"] == {"run": NUM_STEPS, "reused": 0, "failed": 0, "skipped": 0}
    names = {"index.html", "table.csv", "table.html", "table.json", "table.md", "table.tex"}
    assert set(desk.tables()) == names


def test_the_same_command_again_runs_nothing(finished: Finished) -> None:
    desk, _ = finished
    before = desk.tables()
    assert desk.run_json()["steps"] == {"run": 0, "reused": NUM_STEPS, "failed": 0, "skipped": 0}
    assert desk.tables() == before


def test_the_table_has_a_row_for_each_variant_and_reference(finished: Finished) -> None:
    desk, _ = finished
    rows = list(csv.DictReader((desk.report / "table.csv").read_text().splitlines()))
    text = [" ".join(row.values()) for row in rows]
    assert len(rows) == 4
    for label in ("reconstruction=off", "reconstruction=on", "untrained", "BM25"):
        assert sum(label in row for row in text) == 1


def test_mteb_and_beir_agree_on_the_same_data(finished: Finished) -> None:
    records = _records(finished[0])
    by_variant: dict[str, dict[str, float]] = {}
    for record in records:
        if record["metric"] == "ndcg_at_10":
            by_variant.setdefault(record["variant"], {})[record["suite"]] = record["value"]
    assert len(by_variant) == 6
    for variant, values in by_variant.items():
        assert values["news"] == pytest.approx(values["news-beir"], abs=1e-6), variant


def test_lexical_search_has_no_score_where_it_has_none_and_no_mean(finished: Finished) -> None:
    records = [record for record in _records(finished[0]) if record["variant"] == "bm25"]
    states = {record["task"]: record["state"] for record in records}
    assert states["BBCTopicClassification"] == "not_applicable"
    assert states["BBCHeadlineRetrieval"] == "ok"


def test_stage_one_is_trained_once_for_both_seeds(finished: Finished) -> None:
    artifacts = finished[0].home / "artifacts"
    assert len(list((artifacts / "reconstruct").iterdir())) == 1
    assert len(list((artifacts / "contrast").iterdir())) == 4


def test_results_are_where_mteb_looks_for_them(finished: Finished) -> None:
    import mteb

    desk, _ = finished
    store = desk.home / "artifacts" / "evaluate"
    (folder,) = [
        path.parents[4]
        for path in store.rglob("BBCHeadlineRetrieval.json")
        if "-base" not in str(path) and "bm25" not in str(path)
    ][:1]
    files = list(folder.rglob("BBCHeadlineRetrieval.json"))
    loaded = mteb.TaskResult.from_disk(files[0])
    assert loaded.task_name == "BBCHeadlineRetrieval"
    revision = files[0].parent.name
    assert (desk.home / "artifacts" / "contrast" / revision).is_dir() or (
        desk.home / "artifacts" / "base" / revision
    ).is_dir()


def test_a_trained_variant_loads_as_a_sentence_transformer_with_the_same_embeddings(
    finished: Finished,
) -> None:
    import numpy as np
    from sentence_transformers import SentenceTransformer

    from harness.models.embedder import Embedder

    texts = ["Anna on music in Oslo", "a much longer text " * 30, "x"]
    for folder in (finished[0].home / "artifacts" / "contrast").iterdir():
        theirs = np.asarray(SentenceTransformer(str(folder), device="cpu").encode(texts))
        ours = Embedder.load(folder, device="cpu").encode(texts)
        cosines = (
            (theirs * ours).sum(axis=1) / np.linalg.norm(theirs, axis=1) / np.linalg.norm(ours, axis=1)
        )
        assert cosines.min() >= 0.9999


def test_status_and_plan_say_that_all_is_done(finished: Finished) -> None:
    desk, _ = finished
    status = json.loads(desk.harness("status", "--json").stdout)
    assert {state: number for state, number in status["counts"].items() if number} == {"done": NUM_STEPS}
    plan = json.loads(desk.harness("plan", "--json").stdout)
    assert plan["counts"] == {"run": 0, "reuse": NUM_STEPS, "wait": 0}


def test_scores_of_single_queries_go_with_the_records(finished: Finished) -> None:
    import pyarrow.parquet as pq

    desk, _ = finished
    lines = pq.read_table(desk.home / "studies" / "tiny-study" / "per_query.parquet").to_pylist()
    found: dict[tuple[str, str, str], list[float]] = {}
    for line in lines:
        found.setdefault((line["variant"], line["task"], line["metric"]), []).append(line["value"])
    checked = 0
    for record in _records(desk):
        if record["is_main"] and record["state"] == "ok":
            values = found[record["variant"], record["task"], record["metric"]]
            assert sum(values) / len(values) == pytest.approx(record["value"], abs=1.1e-5)
            checked += 1
    assert checked == 5 * 4 + 2


def test_the_configuration_of_each_row_goes_with_the_records(finished: Finished) -> None:
    desk, _ = finished
    done = run_harness(
        *("compare", "reconstruction=off", "reconstruction=on", "--json"),
        *("--study", str(desk.home / "studies" / "tiny-study")),
    )
    assert done.returncode == 0, done.stderr
    fields = {one["field"]: one for one in json.loads(done.stdout)["fields"]}
    assert fields["reconstruct.reconstruction.steps"]["first"] is None
    assert fields["reconstruct.reconstruction.steps"]["second"] == "6"
    assert not any(name.startswith("contrast.") for name in fields)


def test_tables_come_from_the_studys_folder_alone(finished: Finished, desk: Desk) -> None:
    source = finished[0].home / "studies" / "tiny-study"
    target = desk.folder / "copy"
    shutil.copytree(source, target)
    done = run_harness("tables", str(target), "--format", "csv")
    assert done.returncode == 0, done.stderr
    assert done.stdout.encode() == finished[0].tables()["table.csv"]


def test_ray_gives_the_same_bytes(finished: Finished, desk: Desk) -> None:
    done = desk.harness("run", "--json", "--backend", "ray", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"]["run"] == NUM_STEPS
    assert desk.tables() == finished[0].tables()
