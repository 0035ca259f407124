"""A task is scored on all that counts of it, or not at all."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mteb
import pytest
from typer.testing import CliRunner

from harness.cli.main import app
from harness.data.mirrors import Entry, write_manifest
from harness.errors import AbsentDataError
from harness.evaluation.bm25 import evaluate_bm25_mteb
from harness.evaluation.encoder import StudyEncoder
from harness.evaluation.mteb_runner import evaluate_mteb
from harness.study.benchmarks import Limits
from tests.evaluation.bench import Bench
from tests.evaluation.folders import search_data, sentence, write_lines, write_readme, write_sts

_SPLITS = ("train", "validation", "test")


def _write_sib200(mirror: Path, languages: Sequence[str]) -> None:
    """Write a set that SIB200Classification loads, in some languages."""
    rng = random.Random(0)
    folder = mirror / "mteb" / "sib200"
    for language in languages:
        for split in _SPLITS:
            rows = [
                {"index_id": n, "category": f"kind {n % 3}", "text": f"{sentence(rng)} kind{n % 3}"}
                for n in range(30)
            ]
            write_lines(folder / language / f"{split}.jsonl", rows)
    files = {one: {split: f"{one}/{split}.jsonl" for split in _SPLITS} for one in languages}
    write_readme(folder, files)


def _write_scifact(mirror: Path, *, split: str) -> None:
    corpus, queries, judged = search_data()
    folder = mirror / "mteb" / "scifact"
    files = {"corpus": ("corpus", corpus), "queries": ("queries", queries), "default": (split, judged)}
    for name, (_, rows) in files.items():
        write_lines(folder / f"{name}.jsonl", rows)
    write_readme(folder, {name: {part: f"{name}.jsonl"} for name, (part, _) in files.items()})


def _evaluate(encoder: StudyEncoder, mirror: Path, task: str, **limits: Any) -> list[Any]:
    return evaluate_mteb(
        encoder, task, output=mirror.parent / "out", mirrors=[mirror], limits=Limits(**limits)
    )


def test_no_mean_is_taken_over_some_of_the_subsets(encoder: StudyEncoder, tmp_path: Path) -> None:
    _write_sib200(tmp_path / "mirror", ["eng_Latn", "deu_Latn"])
    with pytest.raises(AbsentDataError, match="lacks 1 of 3 subsets: fra_Latn"):
        _evaluate(
            encoder,
            tmp_path / "mirror",
            "SIB200Classification",
            subsets=("eng_Latn", "fra_Latn", "deu_Latn"),
        )
    scores = _evaluate(
        encoder, tmp_path / "mirror", "SIB200Classification", subsets=("eng_Latn", "deu_Latn")
    )
    assert {score.subset for score in scores} == {"eng_Latn", "deu_Latn"}


def test_judgements_of_another_split_are_not_taken(encoder: StudyEncoder, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    _write_scifact(mirror, split="dev")
    with pytest.raises(AbsentDataError, match=r"has no split test \(subset default; there: dev\)"):
        _evaluate(encoder, mirror, "SciFact")
    with pytest.raises(AbsentDataError):
        evaluate_bm25_mteb("SciFact", output=tmp_path / "out", mirrors=[mirror])
    # A whole repository of the hub is what mteb means, whatever its splits are called.
    write_manifest(mirror, {"mteb/scifact": Entry(revision="abc")})
    assert _evaluate(encoder, mirror, "SciFact")


def test_a_file_that_is_declared_and_not_there_is_missing(encoder: StudyEncoder, tmp_path: Path) -> None:
    write_sts(tmp_path / "mirror")
    (tmp_path / "mirror" / "mteb" / "stsbenchmark-sts" / "test.jsonl").unlink()
    with pytest.raises(AbsentDataError, match="mteb/stsbenchmark-sts does not load"):
        _evaluate(encoder, tmp_path / "mirror", "STSBenchmark")


def test_what_lacks_of_an_aggregate_is_known_before_a_part_is_encoded(
    encoder: StudyEncoder, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    _write_scifact(made, split="test")
    parts = [
        part.metadata.dataset["path"] for part in mteb.get_task("CQADupstackRetrieval").metadata.tasks
    ]
    for part in parts[:-1]:
        shutil.copytree(made / "mteb" / "scifact", tmp_path / "mirror" / part)
    with pytest.raises(AbsentDataError, match=f"{parts[-1]} is not in the mirror"):
        _evaluate(encoder, tmp_path / "mirror", "CQADupstackRetrieval")
    assert encoder.embedder.num_tokens == 0


def test_a_cell_that_lacks_subsets_is_missing_until_they_are_there(
    tmp_path: Path, tiny_checkpoint: Path
) -> None:
    mirror = tmp_path / "mirror"
    write_sts(mirror)
    _write_sib200(mirror, ["eng_Latn"])
    suites = (
        "  main: {tasks: [STSBenchmark]}\n"
        "  many: {tasks: [SIB200Classification], languages: [eng, deu, fra]}\n"
    )
    more = f"mirrors: [{mirror}]\nfactors:\n  prompts.query: ['', 'a', 'b', 'c', 'd']\n"
    bench = Bench(tmp_path, tiny_checkpoint, mirror, suites=suites, more=more)
    done = _harness("run", tmp_path, code=1)
    # Three of the five are tried, and two are like them; the others are five bases and their scores.
    assert (done["steps"]["run"], done["steps"]["failed"], done["steps"]["skipped"]) == (10, 3, 2)
    lacking = [one for one in _records(tmp_path) if one["task"] == "SIB200Classification"]
    assert {(one["state"], one["value"]) for one in lacking} == {("missing", None)}
    for one in lacking:
        assert "mteb/sib200 lacks 2 of 3 subsets: deu_Latn, fra_Latn" in one["reason"]
        assert "harness retry" in one["reason"]
    assert {one["state"] for one in _records(tmp_path) if one["task"] == "STSBenchmark"} == {"ok"}
    _write_sib200(mirror, ["eng_Latn", "deu_Latn", "fra_Latn"])
    again = _harness("retry", tmp_path, "--missing")
    assert (again["steps"]["run"], again["steps"]["failed"]) == (5, 0)
    scored = [one for one in _records(tmp_path) if one["task"] == "SIB200Classification"]
    assert {one["subset"] for one in scored} == {"eng_Latn", "deu_Latn", "fra_Latn"}
    assert {one["state"] for one in scored} == {"ok"}
    assert len(bench.plan.rows) == 5


def _harness(verb: str, folder: Path, *more: str, code: int = 0) -> Any:
    where = ["--home", str(folder / "home"), "--reports", str(folder / "reports")]
    options = [*where, "--backend", "in-process", "--json", *more]
    result = CliRunner().invoke(app, [verb, str(folder / "study.yaml"), *options])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def _records(folder: Path) -> list[dict[str, Any]]:
    (path,) = (folder / "home" / "studies").glob("*/records.jsonl")
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [one for one in records if one["is_main"]]
