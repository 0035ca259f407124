"""`harness data overlap`: planted texts are found through the whole way, and stay beside the records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness.cli.main import app
from harness.records.overlap import read_overlap
from tests.evaluation.folders import (
    search_data,
    write_beir_folder,
    write_lines,
    write_scifact,
    write_sts,
)

_STUDY = """\
name: leaks
question: What is known already?
bases: {tiny: {path: tiny}}
sources:
  leaky: {kind: files, path: leaky.jsonl, in_domain: [STSBenchmark]}
  clean: {kind: files, path: clean.jsonl, in_domain: []}
recipe:
  model: {base: tiny}
  data: {source: clean}
  contrastive: {steps: 2, global_batch: 2}
factors:
  data.source: [clean, leaky]
suites:
  main: {tasks: [STSBenchmark, SciFact]}
  folder: {evaluator: beir, folder: data, tasks: [small]}
mirrors: [mirror]
"""


def _overlap(folder: Path, *arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(
        app,
        [
            *("data", "overlap", str(folder / "study.yaml"), "--home", str(folder / "home")),
            *(*arguments, "--json"),
        ],
    )
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study of which one pair set knows three queries and a document of SciFact, and no other task."""
    corpus, queries, judged = search_data()
    write_sts(tmp_path / "mirror")
    write_scifact(tmp_path / "mirror")
    other = [{**row, "text": f"{row['text']} {row['_id']} other words here"} for row in corpus]
    asked = [{**row, "text": f"what of {row['_id']} is {row['text'][::-1]}"} for row in queries]
    write_beir_folder(tmp_path / "data" / "small", other, asked, judged)
    plain = [
        {"query": f"who wrote book {n} of all", "positive": f"nobody knows {n} books"} for n in range(40)
    ]
    write_lines(tmp_path / "clean.jsonl", plain)
    document = f"{corpus[5]['title']} {corpus[5]['text']}"
    planted = [
        {"query": f"{row['text'].upper()}!", "positive": "is planted here"} for row in queries[:3]
    ]
    planted[0]["positive"] = document.replace(document.split()[0], "changed", 1)
    write_lines(tmp_path / "leaky.jsonl", [*plain, *planted])
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text("{}")
    (tmp_path / "study.yaml").write_text(_STUDY)
    return tmp_path


def test_planted_texts_are_found_for_the_variants_that_know_them(study: Path) -> None:
    found = _overlap(study)
    by_key = {(one["pairs"], one["task"], one["kind"]): one for one in found["findings"]}
    queries = by_key["leaky/default", "SciFact", "query"]
    assert (queries["num_exact"], queries["num_near"], queries["num_texts"]) == (3, 0, 12)
    documents = by_key["leaky/default", "SciFact", "document"]
    assert (documents["num_exact"], documents["num_near"]) == (0, 1)
    # Copies of a document are one text.
    assert documents["num_texts"] == 60
    others = [one for key, one in by_key.items() if key[:2] != ("leaky/default", "SciFact")]
    assert len(others) == 8
    assert {one["share"] for one in others} == {0}
    assert found["variants"] == {
        "data.source=clean": {"leaked": [], "in_domain": []},
        "data.source=leaky": {"leaked": ["SciFact"], "in_domain": ["STSBenchmark"]},
    }
    kept = read_overlap(study / "home" / "studies" / "leaks")
    assert kept is not None
    assert kept.standing("SciFact") == "leaked"
    assert kept.standing("small") == "clean"
    assert kept.settings == {"threshold": 0.8, "permutations": 128, "shingle": 2, "min_words": 3}


def test_what_was_compared_is_not_compared_again_and_thresholds_are_part_of_it(study: Path) -> None:
    _overlap(study)
    store = study / "home" / "artifacts" / "overlap"
    before = {path.name: path.stat().st_mtime_ns for path in store.iterdir()}
    # Three tasks, two pair sets.
    assert len(before) == 6
    stricter = _overlap(study, "--leaked", "0.5")
    assert {path.name: path.stat().st_mtime_ns for path in store.iterdir()} == before
    assert stricter["variants"]["data.source=leaky"]["leaked"] == []
    higher = _overlap(study, "--threshold", "0.95")
    assert len(list(store.iterdir())) == 12
    near = [one["num_near"] for one in higher["findings"]]
    assert set(near) == {0}


def test_a_task_that_cannot_be_read_is_named_and_the_others_are_there(study: Path) -> None:
    (study / "mirror" / "mteb" / "stsbenchmark-sts" / "test.jsonl").write_text("{not json")
    found = _overlap(study, code=1)
    assert found["missing"].keys() == {"STSBenchmark"}
    assert (
        "STSBenchmark: dataset mteb/stsbenchmark-sts does not load" in found["missing"]["STSBenchmark"]
    )
    assert {one["task"] for one in found["findings"]} == {"SciFact", "small"}
    write_sts(study / "mirror")
    assert _overlap(study)["missing"] == {}


def test_people_get_a_table(study: Path) -> None:
    result = CliRunner().invoke(
        app, ["data", "overlap", str(study / "study.yaml"), "--home", str(study / "home")]
    )
    assert result.exit_code == 0, result.output
    line = next(
        line
        for line in result.stdout.splitlines()
        if line.split()[:3] == ["SciFact", "query", "leaky/default"]
    )
    assert line.split()[3:] == ["12", "3", "0", "25.00%", "leaked"]


def test_what_a_mirror_lacks_is_said_before_anything_is_compared(study: Path) -> None:
    (study / "mirror" / "mteb" / "scifact").rename(study / "gone")
    result = CliRunner().invoke(
        app, ["data", "overlap", str(study / "study.yaml"), "--home", str(study / "home")]
    )
    assert result.exit_code != 0
    assert "mteb/scifact (dataset): missing" in str(result.exception)
    assert not (study / "home" / "artifacts").exists()
