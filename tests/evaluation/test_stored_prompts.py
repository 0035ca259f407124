"""What a study says of prompts and of lengths reaches the model, and stands beside the scores."""

from __future__ import annotations

from pathlib import Path

import mteb
import pytest
from sentence_transformers import SentenceTransformer

from harness.evaluation.catalogue import mteb_instructions
from harness.evaluation.mirror import use_mirrors
from harness.evaluation.scores import Score, read_scores
from harness.identity import fingerprint
from harness.study.task_prompts import read_prompts
from tests.evaluation.bench import Bench
from tests.evaluation.folders import search_data, write_beir_folder

_SUITES = """\
  main: {tasks: [STSBenchmark, SciFact, Banking77Classification]}
  folder: {evaluator: beir, folder: data, tasks: [scifact]}
"""


def _scores(bench: Bench) -> dict[str, Score]:
    """Return task -> its main score, as the artifacts hold them."""
    bench.run()
    found: dict[str, Score] = {}
    for path in bench.store.home.rglob("scores.jsonl"):
        found |= {score.task: score for score in read_scores(path) if score.is_main}
    return found


def _bench(folder: Path, checkpoint: Path, mirror: Path, *, prompts: str) -> Bench:
    write_beir_folder(folder / "data" / "scifact", *search_data())
    return Bench(folder, checkpoint, mirror, suites=_SUITES, prompts=prompts)


@pytest.mark.parametrize(
    ("name", "written"),
    [("e5-v1", "Instruct: {}\nQuery: "), ("mteb", "{}; ")],
)
def test_every_score_has_the_exact_text_and_its_hash(
    name: str, written: str, tmp_path: Path, tiny_checkpoint: Path, mirror: Path
) -> None:
    form = "instruct" if name == "e5-v1" else "semicolon"
    bench = _bench(tmp_path, tiny_checkpoint, mirror, prompts=f"format: {form}, tasks: {name}")
    scores = _scores(bench)
    prompts = read_prompts(name, folder=tmp_path)
    for task, sides in {
        "STSBenchmark": ("text",),
        "Banking77Classification": ("text",),
        "SciFact": ("query",),
    }.items():
        kind = scores[task].task_type
        texts = prompts.of_task(task, kind) if prompts else mteb_instructions(task)
        expected = {side: written.format(texts[side]) for side in sides}
        if task == "SciFact":
            expected["document"] = ""
        assert scores[task].prompts == expected
        assert scores[task].prompt_hash == fingerprint(expected)[:16]
    assert scores["scifact"].prompts == scores["SciFact"].prompts
    assert scores["scifact"].value == pytest.approx(scores["SciFact"].value, abs=1e-5)
    records = bench.by_task(bench.run())
    assert {task: record.prompt_hash for task, record in records.items()} == {
        task: score.prompt_hash for task, score in scores.items()
    }


def test_without_instructions_nothing_stands_before_a_text(
    tmp_path: Path, tiny_checkpoint: Path, mirror: Path
) -> None:
    scores = _scores(_bench(tmp_path, tiny_checkpoint, mirror, prompts=""))
    assert {score.prompt_hash for score in scores.values()} == {""}
    assert {text for score in scores.values() for text in score.prompts.values()} == {""}


def test_unnormalised_classification_is_that_of_plain_mteb_on_bare_vectors(
    tmp_path: Path, tiny_checkpoint: Path, mirror: Path
) -> None:
    tasks = "tasks: [Banking77Classification, STSBenchmark]"
    suites = f"  usual: {{{tasks}}}\n  raw: {{{tasks}, unnormalized: [Classification]}}\n"
    bench = Bench(tmp_path, tiny_checkpoint, mirror, suites=suites)
    records = bench.records(bench.run())
    values = {(record.suite, record.task): record.value for record in records}
    assert values["raw", "STSBenchmark"] == values["usual", "STSBenchmark"]
    assert values["raw", "Banking77Classification"] != values["usual", "Banking77Classification"]
    (folder,) = (bench.store.home / "artifacts" / "base").iterdir()
    for suite in ("usual", "raw"):
        model = SentenceTransformer(str(folder))
        kinds = [type(module).__name__ for module in model]
        assert kinds[-1] == "Normalize"
        if suite == "raw":
            del model[len(kinds) - 1]
        with use_mirrors([mirror]):
            task = mteb.get_task("Banking77Classification")
            stock = mteb.evaluate(
                model, task, cache=None, co2_tracker=False, show_progress_bar=False
            ).task_results[0]
        expected = pytest.approx(stock.get_score(), abs=1e-4)
        assert values[suite, "Banking77Classification"] == expected
