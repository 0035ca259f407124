from __future__ import annotations

import os
from pathlib import Path

import datasets
import huggingface_hub.constants
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import OfflineModeIsEnabled

from harness.data.mirrors import Entry, FileEntry, write_manifest
from harness.errors import DataError
from harness.evaluation.mirror import find_dataset, use_mirrors
from harness.identity import file_sha256
from tests.evaluation.folders import write_lines


def _write(root: Path, name: str, text: str) -> None:
    write_lines(root / name / "test.jsonl", [{"text": text}])


def _read(name: str) -> list[str]:
    return list(datasets.load_dataset(name, split="test")["text"])


def test_the_first_mirror_that_has_a_dataset_wins(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    _write(first, "org/one", "first one")
    _write(second, "org/one", "second one")
    _write(second, "org/two", "second two")
    with use_mirrors([first, second]):
        assert _read("org/one") == ["first one"]
        assert _read("org/two") == ["second two"]


def test_edited_data_is_read_anew(tmp_path: Path) -> None:
    for text in ("before", "after!"):
        _write(tmp_path, "org/one", text)
        with use_mirrors([tmp_path]):
            assert _read("org/one") == [text]


def test_a_folder_of_the_working_directory_is_no_mirror(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path / "here", "org/one", "here")
    _write(tmp_path / "mirror", "org/two", "mirror")
    monkeypatch.chdir(tmp_path / "here")
    with (
        use_mirrors([tmp_path / "mirror"]),
        pytest.raises(DataError, match="org/one is not in the mirror"),
    ):
        _read("org/one")


def test_with_a_mirror_the_network_is_refused_and_afterwards_all_is_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "0")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    _write(tmp_path, "org/one", "text")
    before = datasets.load.dataset_module_factory
    with use_mirrors([tmp_path]):
        assert os.environ["HF_HUB_OFFLINE"] == os.environ["HF_DATASETS_OFFLINE"] == "1"
        with pytest.raises(OfflineModeIsEnabled):
            HfApi().dataset_info("org/absent")
    assert "HF_HUB_OFFLINE" not in os.environ
    assert os.environ["HF_DATASETS_OFFLINE"] == "0"
    assert huggingface_hub.constants.HF_HUB_OFFLINE is False
    assert datasets.load.dataset_module_factory is before


def test_without_mirrors_nothing_changes() -> None:
    before = datasets.load.dataset_module_factory
    with use_mirrors([]):
        assert datasets.load.dataset_module_factory is before


@pytest.mark.parametrize("kind", ["absent", "file", "empty"])
def test_a_mirror_that_is_none_is_refused(tmp_path: Path, kind: str) -> None:
    root = tmp_path / kind
    if kind == "file":
        root.write_text("")
    elif kind == "empty":
        (root / "stray").mkdir(parents=True)
    with pytest.raises(DataError, match="mirror"), use_mirrors([root]):
        pass


def test_names_never_lead_out_of_the_mirror(tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "secret").mkdir()
    assert find_dataset("../secret", [tmp_path / "mirror"]) is None
    assert find_dataset(str(tmp_path / "secret"), [tmp_path / "mirror"]) is None


def test_a_changed_byte_is_refused_where_a_manifest_holds_its_hash(tmp_path: Path) -> None:
    _write(tmp_path, "org/one", "before")
    file = tmp_path / "org" / "one" / "test.jsonl"
    promised = FileEntry(size=file.stat().st_size, sha256=file_sha256(file))
    write_manifest(tmp_path, {"org/one": Entry(files={"test.jsonl": promised})})
    with use_mirrors([tmp_path]):
        assert _read("org/one") == ["before"]
        _write(tmp_path, "org/one", "BEFORE")
        with pytest.raises(DataError, match=r"test\.jsonl was changed"):
            _read("org/one")
