"""BEIR data of a study: a plain folder, a packed one, and the mirror's copy of the hub's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from harness.data.mirrors import Entry, FileEntry, write_manifest
from harness.errors import StudyError
from harness.identity import file_sha256
from harness.plan.needs import hub_needs
from harness.study.task_facts import task_datasets
from tests.evaluation.bench import Bench
from tests.evaluation.folders import pack, search_data, write_beir_folder

_SUITES = """\
  plain: {evaluator: beir, folder: plain, tasks: [scifact]}
  packed: {evaluator: beir, folder: packed, tasks: [scifact]}
  mirrored: {evaluator: beir, tasks: [scifact]}
"""


@pytest.fixture
def bench(tmp_path: Path, tiny_checkpoint: Path) -> Bench:
    """The same small data under the name of a stock dataset, three times."""
    for place in ("plain", "packed", "mirror/mteb"):
        write_beir_folder(tmp_path / place / "scifact", *search_data())
    pack(tmp_path / "packed")
    pack(tmp_path / "mirror")
    return Bench(
        tmp_path, tiny_checkpoint, tmp_path / "mirror", suites=_SUITES, more="references: [bm25]\n"
    )


def test_all_three_give_the_same_scores(bench: Bench) -> None:
    records = bench.records(bench.run())
    assert {record.state for record in records} == {"ok"}
    assert len({(record.suite, record.variant) for record in records}) == 6
    assert len({(record.variant, record.value) for record in records}) == 2
    assert len({record.dataset_revision for record in records}) == 1


def test_the_hubs_copy_is_needed_at_the_revision_that_mteb_pins(bench: Bench) -> None:
    (need,) = hub_needs(bench.plan.steps.values())
    (dataset,) = task_datasets("SciFact")
    assert (need.kind, need.name, need.revision) == ("dataset", "mteb/scifact", dataset.revision)


def test_damaged_data_fails_its_cells_and_no_other(bench: Bench, tmp_path: Path) -> None:
    corpus = tmp_path / "mirror" / "mteb" / "scifact" / "corpus.jsonl.gz"
    whole = corpus.read_bytes()
    corpus.write_bytes(whole[:-20])
    records = bench.records(bench.run())
    states = {(record.suite, record.state) for record in records}
    assert states == {("plain", "ok"), ("packed", "ok"), ("mirrored", "failed")}
    failed = [record.reason for record in records if record.suite == "mirrored"]
    assert all("corpus.jsonl.gz: damaged, it does not unpack" in reason for reason in failed)
    corpus.write_bytes(whole)
    again = bench.run()
    assert {record.state for record in bench.records(again)} == {"ok"}
    assert len(again.done) == 2


def test_a_changed_byte_of_the_mirrors_copy_is_refused(bench: Bench, tmp_path: Path) -> None:
    root = tmp_path / "mirror"
    folder = root / "mteb" / "scifact"
    files = {
        path.relative_to(folder).as_posix(): FileEntry(
            size=path.stat().st_size, sha256=file_sha256(path)
        )
        for path in folder.rglob("*.gz")
    }
    write_manifest(root, {"mteb/scifact": Entry(files=files)})
    qrels = folder / "qrels" / "test.tsv.gz"
    qrels.write_bytes(qrels.read_bytes()[:-1] + b"\1")
    records = bench.records(bench.run())
    failed = {record.suite: record.reason for record in records if record.state == "failed"}
    assert failed.keys() == {"mirrored"}
    assert "test.tsv.gz was changed" in failed["mirrored"]


def test_a_dataset_that_beir_has_not_is_refused_with_the_nearest(
    tmp_path: Path, tiny_checkpoint: Path
) -> None:
    suites = "  main: {evaluator: beir, tasks: [scifac]}\n"
    with pytest.raises(StudyError, match=r"no BEIR dataset 'scifac' on the hub\. Did you mean 'scif"):
        Bench(tmp_path, tiny_checkpoint, tmp_path, suites=suites)


def test_msmarco_counts_the_development_queries(tmp_path: Path, tiny_checkpoint: Path) -> None:
    folder = tmp_path / "data" / "msmarco"
    write_beir_folder(folder, *search_data())
    shutil.move(folder / "qrels" / "test.tsv", folder / "qrels" / "dev.tsv")
    suites = "  main: {evaluator: beir, folder: data, tasks: [msmarco]}\n"
    bench = Bench(tmp_path, tiny_checkpoint, tmp_path, suites=suites)
    (record,) = bench.records(bench.run())
    assert (record.state, record.split) == ("ok", "dev")
    (kept,) = bench.store.home.rglob("beir/msmarco.json")
    assert json.loads(kept.read_text())["split"] == "dev"
