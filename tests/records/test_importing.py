from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec import structs

from harness.errors import RecordError
from harness.records.bulk import read_frame, to_bulk_frame
from harness.records.importing import Import, read_mteb_folder, store_records
from harness.records.schema import Record
from harness.records.store import read_records, write_records
from tests.records.result_files import REVISION, today, write_file, write_model


def _import(results: Path, target: Path, *, replacing: bool = False) -> Import:
    records, num_files = read_mteb_folder(results)
    return store_records(records, target, num_files=num_files, is_replacing=replacing)


def _bytes(target: Path) -> tuple[bytes, bytes]:
    return (target / "records.jsonl").read_bytes(), (target / "records.parquet").read_bytes()


@pytest.fixture
def results(tmp_path: Path) -> Path:
    write_model(tmp_path / "lab" / "results")
    return tmp_path / "lab" / "results"


def test_importing_again_changes_nothing(results: Path, tmp_path: Path) -> None:
    first = _import(results, tmp_path / "to")
    before = _bytes(tmp_path / "to")
    again = _import(results, tmp_path / "to")
    assert _bytes(tmp_path / "to") == before
    assert (first.num_new, again.num_new) == (len(first.records), 0)
    assert first.num_files == 68


def test_part_by_part_is_the_same_as_at_once(results: Path, tmp_path: Path) -> None:
    write_model(results, model="other__model")
    _import(results, tmp_path / "whole")
    for model in ("other__model", "org__small"):
        _import(results / model, tmp_path / "parts")
    assert _bytes(tmp_path / "whole") == _bytes(tmp_path / "parts")


def test_a_file_that_is_gone_takes_its_records_with_it(results: Path, tmp_path: Path) -> None:
    _import(results, tmp_path / "to")
    before = _bytes(tmp_path / "to")
    path = results / "org__small" / REVISION / "ArguAna.json"
    content = path.read_bytes()
    path.unlink()
    said: list[str] = []
    records, num_files = read_mteb_folder(results)
    done = store_records(records, tmp_path / "to", num_files=num_files, report=said.append)
    assert done.gone == (f"lab/org__small/{REVISION}/ArguAna.json",)
    assert said == [f"lab/org__small/{REVISION}/ArguAna.json: no longer there; its records were dropped"]
    assert "ArguAna" not in {one.task for one in done.records}
    path.write_bytes(content)
    _import(results, tmp_path / "to")
    assert _bytes(tmp_path / "to") == before


def test_a_changed_number_stops_with_both_shown(results: Path, tmp_path: Path) -> None:
    _import(results, tmp_path / "to")
    before = _bytes(tmp_path / "to")
    write_file(results / "org__small" / REVISION, "ArguAna", today("ArguAna", "test", "default", 0.987))
    with pytest.raises(RecordError, match=r"(?s)ArguAna.*0\.987") as caught:
        _import(results, tmp_path / "to")
    assert caught.value.message.count("value=") == 2
    assert "--replace" in caught.value.cure
    assert _bytes(tmp_path / "to") == before
    done = _import(results, tmp_path / "to", replacing=True)
    assert [one.value for one in done.records if one.task == "ArguAna"] == [0.987]


def test_two_imports_that_contradict_each_other_stop(tmp_path: Path) -> None:
    for name, value in (("a", 0.5), ("b", 0.6)):
        folder = tmp_path / name / "results" / "m" / REVISION
        write_file(folder, "SciFact", today("SciFact", "test", "default", value))
    _import(tmp_path / "a" / "results", tmp_path / "to")
    with pytest.raises(RecordError, match=r"(?s)0\.5.*a/m/.*0\.6.*b/m/"):
        _import(tmp_path / "b" / "results", tmp_path / "to")


def test_revisions_of_a_model_stand_side_by_side_and_are_remarked_on(tmp_path: Path) -> None:
    results = tmp_path / "lab" / "results"
    for revision, value in ((REVISION, 0.5), ("external", 0.6)):
        write_file(results / "m" / revision, "SciFact", today("SciFact", "test", "default", value))
    write_file(results / "m" / REVISION, "NFCorpus", today("NFCorpus", "test", "default", 0.3))
    done = _import(results, tmp_path / "to")
    remarks = {(one.revision, one.task): one.remarks for one in done.records}
    assert remarks == {
        (REVISION, "NFCorpus"): (),
        (REVISION, "SciFact"): ("duplicate_revision",),
        ("external", "SciFact"): ("duplicate_revision",),
    }


@pytest.mark.parametrize("lacking", ["CQADupstackTexRetrieval", "CQADupstackAndroidRetrieval"])
def test_an_aggregate_beside_some_of_its_parts_has_no_value(
    results: Path, tmp_path: Path, lacking: str
) -> None:
    (results / "org__small" / REVISION / f"{lacking}.json").unlink()
    done = _import(results, tmp_path / "to")
    (record,) = (one for one in done.records if one.task == "CQADupstackRetrieval")
    assert (record.state, record.value) == ("partial_aggregate", None)
    assert f"11 of its 12 parts; there is no {lacking}.json" in record.reason


def test_an_aggregate_without_any_part_keeps_its_value(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "m" / REVISION
    task = "CQADupstackRetrieval"
    write_file(folder, task, today(task, "test", "default", 0.4))
    ((record,), _) = read_mteb_folder(tmp_path / "results")
    assert (record.state, record.value) == ("ok", 0.4)


def test_the_text_is_believed_where_the_parquet_file_is_older(results: Path, tmp_path: Path) -> None:
    target = tmp_path / "to"
    done = _import(results, target)
    assert read_frame(target).equals(to_bulk_frame(done.records))
    write_records(target / "records.jsonl", done.records[:3])
    assert len(read_frame(target)) == 3
    (target / "records.parquet").unlink()
    assert len(read_frame(target)) == 3


def test_records_come_back_as_they_were_written(results: Path, tmp_path: Path) -> None:
    done = _import(results, tmp_path / "to")
    assert tuple(read_records(tmp_path / "to" / "records.jsonl")) == done.records


def test_a_record_of_a_former_format_is_read_without_remarks(tmp_path: Path) -> None:
    record = Record(
        variant="v", revision="", seed=0, suite="s", task="t", task_type="STS",
        split="test", subset="default", metric="m", value=0.5,
    )  # fmt: skip
    path = tmp_path / "records.jsonl"
    write_records(path, [record])
    fields = json.loads(path.read_text(encoding="utf-8"))
    del fields["remarks"]
    path.write_text(json.dumps(fields) + "\n", encoding="utf-8")
    assert list(read_records(path)) == [structs.replace(record, remarks=())]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="gone: no such folder"):
        read_mteb_folder(tmp_path / "gone")
