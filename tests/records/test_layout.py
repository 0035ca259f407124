from __future__ import annotations

from pathlib import Path

import pytest

from harness.records.layout import find_places, import_name
from tests.records.result_files import REVISION, write_model

FILE = f"org__small/{REVISION}/SciFact.json"


@pytest.mark.parametrize(
    "start", ["", "results", "results/org__small", f"results/org__small/{REVISION}"]
)
def test_a_file_has_one_source_wherever_the_import_starts(tmp_path: Path, start: str) -> None:
    top = tmp_path / "snapshot"
    write_model(top / "results")
    places = find_places(top / start)
    assert {(one.model, one.revision) for one in places} == {("org__small", REVISION)}
    assert f"snapshot/{FILE}" in {one.source for one in places}
    assert import_name(top / start) == "snapshot"


def test_folders_between_the_root_and_the_models_tell_snapshots_apart(tmp_path: Path) -> None:
    for snapshot in ("old", "new"):
        write_model(tmp_path / "all" / snapshot / "results")
    sources = {one.source for one in find_places(tmp_path / "all")}
    assert {f"all/old/{FILE}", f"all/new/{FILE}"} <= sources


def test_a_model_may_keep_its_results_without_a_revision(tmp_path: Path) -> None:
    path = tmp_path / "results" / "llm2vec" / "SciFact.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}", encoding="utf-8")
    for start in (tmp_path / "results", path.parent):
        (place,) = find_places(start)
        assert (place.model, place.revision, place.task) == ("llm2vec", "", "SciFact")


def test_experiments_are_revisions_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "results" / "org__m" / REVISION / "experiments" / "lr_1" / "SciFact.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}", encoding="utf-8")
    (place,) = find_places(tmp_path / "results")
    assert (place.model, place.revision) == ("org__m", f"{REVISION}/lr_1")


def test_a_given_name_begins_every_source(tmp_path: Path) -> None:
    write_model(tmp_path / "results")
    assert all(one.source.startswith("mine/") for one in find_places(tmp_path, name="mine"))
