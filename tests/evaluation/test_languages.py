"""Scores by language: kept for each subset, and laid out by language and by groups of languages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

import pytest
from msgspec import structs

from harness.execution.collect import collect
from harness.tables.shape import shape
from harness.tables.table import Cell, Table
from tests.evaluation.bench import Bench
from tests.evaluation.trimmed import trim

_TASKS = {
    "Tatoeba": {"deu-eng", "swh-eng"},
    "XNLI": {"de", "en"},
    "XQuADRetrieval": {"de", "en"},
    "STSBenchmarkMultilingualSTS": {"de", "en"},
    "SIB200Classification": {"deu_Latn", "eng_Latn", "swh_Latn"},
}
_SUITE = f"  many: {{tasks: [{', '.join(_TASKS)}], languages: [deu, eng, swh]}}\n"


def _bench(folder: Path, checkpoint: Path, mirror: Path) -> Bench:
    return Bench(folder, checkpoint, mirror, suites=_SUITE, more="references: [bm25]\n")


def _row(table: Table, label: str) -> Mapping[str, Cell]:
    (row,) = [one for one in table.rows if one.label == label]
    return {column.key: cell for column, cell in zip(table.columns, row.cells, strict=True)}


def test_each_language_has_its_scores_and_its_column(
    shared_data: Path, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    source, mirror = shared_data / "mirror" / "mteb", tmp_path / "mirror"
    for name, rows in {"xnli": 90, "XQuADRetrieval": 60, "sib200": 40, "stsb_multi_mt": 50}.items():
        languages = ("de", "en") if name == "stsb_multi_mt" else ()
        trim(source / name, mirror / "mteb" / name, rows=rows, languages=languages)
    name = "tatoeba-bitext-mining"
    trim(source / name, mirror / "mteb" / name, rows=40, languages=("deu-eng", "swh-eng"))
    bench = _bench(tmp_path, tiny_checkpoint, mirror)
    summary, records = collect(bench.study, bench.plan, bench.store, failures=bench.run().failed)
    mains = [one for one in records if one.is_main and one.variant != "bm25"]
    assert {one.state for one in mains} == {"ok"}
    found = {task: {one.subset for one in mains if one.task == task} for task in _TASKS}
    assert found == _TASKS
    by_language = _row(shape(summary, records, columns="language"), "recipe")
    means = {}
    for language in ("deu-Latn", "eng-Latn", "swh-Latn"):
        spoken = [one for one in mains if language in one.languages]
        by_task = (
            fmean([one.value or 0.0 for one in spoken if one.task == task])
            for task in {one.task for one in spoken}
        )
        means[language] = fmean(by_task)
        assert by_language[language].value == pytest.approx(means[language])
    groups = _row(shape(summary, records, columns="resource"), "recipe")
    assert groups["low"].value == pytest.approx(means["swh-Latn"])
    assert groups["high"].value is not None
    lexical = [one for one in records if one.is_main and one.variant == "bm25"]
    assert {one.subset for one in lexical if one.state == "ok"} == {"de", "en"}
    assert {one.task for one in lexical if one.state == "ok"} == {"XQuADRetrieval"}


def test_a_language_of_a_task_that_has_no_score_is_not_left_out(
    tmp_path: Path, tiny_checkpoint: Path
) -> None:
    bench = _bench(tmp_path, tiny_checkpoint, tmp_path / "mirror")
    summary, records = collect(bench.study, bench.plan, bench.store)
    assert {one.subset for one in records if one.task == "XNLI"} == {"de", "en"}
    cells = _row(shape(summary, records, columns="language"), "recipe")
    assert {"deu-Latn", "eng-Latn", "swh-Latn"} <= cells.keys()
    assert {cell.value for cell in cells.values()} == {None}
    # With all tasks but one there, a language of that one has no mean over the others.
    scored = [
        structs.replace(one, state="ok", value=0.5, metric="accuracy", reason="")
        if one.task != "XNLI"
        else one
        for one in records
    ]
    cells = _row(shape(summary, scored, columns="language"), "recipe")
    assert cells["swh-Latn"].value == 0.5
    assert (cells["deu-Latn"].value, cells["deu-Latn"].state) == (None, "incomplete")
