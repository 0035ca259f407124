"""Files that no program of mteb would write leave a record with a state, and never end an import."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.records.importing import read_mteb_folder, store_records
from harness.records.schema import Record
from harness.records.store import read_records
from tests.records.result_files import REVISION, today, write_file

GOOD = '{"hf_subset": "default", "languages": ["eng-Latn"], "ndcg_at_10": 0.5, "main_score": 0.5}'


def _import(tmp_path: Path) -> list[Record]:
    """Return SciFact's records as they are read again from what an import wrote."""
    records, count = read_mteb_folder(tmp_path / "results")
    store_records(records, tmp_path / "records", num_files=count)
    again = store_records(records, tmp_path / "records", num_files=count)
    assert again.num_new == 0
    found = list(read_records(tmp_path / "records" / "records.jsonl"))
    assert any(one.task == "NFCorpus" and one.value == 0.3 for one in found)
    return [one for one in found if one.task == "SciFact" and one.is_main]


def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "results" / "org__small" / REVISION
    write_file(folder, "NFCorpus", today("NFCorpus", "test", "default", 0.3))
    return folder


@pytest.mark.parametrize(
    ("content", "state"),
    [
        (b"", "unreadable"),
        (b'{"scores": {"test": [', "unreadable"),
        (b"[" * 100_000, "unreadable"),
        (b'{"scores": {"test": [{"hf_subset": "d\xff"}]}}', "unreadable"),
        (b'{"scores": {"test": [{"hf_subset": "\\ud800", "ndcg_at_10": 0.5}]}}', "unreadable"),
        (b'{"dataset_revision": "\\uD800", "scores": {"test": [{"ndcg_at_10": 0.5}]}}', "unreadable"),
        (b'{"scores": {"test": [{"hf_subset": "\xed\xa0\x80", "ndcg_at_10": 0.5}]}}', "unreadable"),
        (b'{"scores": {"test": [{"ndcg_at_10": 1' + b"0" * 400 + b"}]}}", "not_a_number"),
        (b'{"scores": {"test": [{"ndcg_at_10": 1' + b"0" * 5000 + b"}]}}", "unreadable"),
        (b'{"scores": {"test": [{"ndcg_at_10": 1e999}]}}', "not_a_number"),
        (b'{"scores": {"test": [{"ndcg_at_10": [0.5, 0.6]}]}}', "not_a_number"),
        (b'{"scores": {"test": [{"ndcg_at_10": "0.5"}]}}', "not_a_number"),
        (b'{"scores": {"test": [{"ndcg_at_10": true}]}}', "not_a_number"),
        (b'{"scores": {"test": [{"ndcg_at_10": 50.0}]}}', "out_of_range"),
        (b'{"scores": {"test": [{"hf_subset": null, "ndcg_at_10": 0.5}]}}', "missing_subset"),
    ],
)
def test_an_odd_file_is_named_by_a_state(content: bytes, state: str, tmp_path: Path) -> None:
    (_folder(tmp_path) / "SciFact.json").write_bytes(content)
    found = _import(tmp_path)
    assert state in {one.state for one in found}
    named = next(one for one in found if one.state == state)
    assert named.value is None
    assert f"{REVISION}/SciFact.json" in named.reason


@pytest.mark.parametrize(
    "content",
    [
        f'{{"evaluation_time": 1{"0" * 400}, "scores": {{"test": [{GOOD}]}}}}',
        f'{{"dataset_revision": {{"a": [1]}}, "mteb_version": [1], "scores": {{"test": [{GOOD}]}}}}',
        '{"scores": {"test": [{"languages": [1], "ndcg_at_10": 0.5, "main_score": 0.5}]}}',
        f'{{"author": "\\ud83d\\ude00", "scores": {{"test": [{GOOD}]}}}}',
    ],
)
def test_what_is_odd_beside_the_score_does_not_cost_it(content: str, tmp_path: Path) -> None:
    (_folder(tmp_path) / "SciFact.json").write_text(content, encoding="utf-8")
    (found,) = _import(tmp_path)
    assert (found.state, found.value) == ("ok", 0.5)


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    (folder / "SciFact.json").symlink_to(tmp_path / "nowhere.json")
    (found,) = _import(tmp_path)
    assert found.state == "unreadable"
    assert found.reason.endswith("SciFact.json: No such file or directory")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(_folder(tmp_path) / "SciFact.json")
    (found,) = _import(tmp_path)
    assert (found.state, found.reason.rpartition(": ")[2]) == ("unreadable", "not a plain file")


def test_a_name_that_is_no_text_is_written_out(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    write_file(folder, "SciFact", today("SciFact", "test", "default", 0.5))
    (folder / "SciFact.json").rename(Path(os.fsdecode(os.fsencode(folder) + b"/Sci\xffFact.json")))
    assert _import(tmp_path) == []
    found = read_records(tmp_path / "records" / "records.jsonl")
    assert "Sci\\xffFact" in {one.task for one in found}


def test_linked_folders_are_read_once_and_never_in_circles(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    elsewhere = tmp_path / "elsewhere" / "org__other" / REVISION
    write_file(elsewhere, "SciFact", today("SciFact", "test", "default", 0.4))
    (elsewhere / "back").symlink_to(elsewhere)
    (folder / "circle").symlink_to(tmp_path / "results")
    (tmp_path / "results" / "org__other").symlink_to(elsewhere.parent)
    (tmp_path / "results" / "again").symlink_to(folder.parent)
    (found,) = _import(tmp_path)
    assert (found.variant, found.value) == ("org__other", 0.4)
    records, _ = read_mteb_folder(tmp_path / "results")
    assert {one.variant for one in records} == {"org__small", "org__other"}
