"""Verbs over mirrors: prefetch against a hub on loopback, plan and run without a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.study.task_facts import task_datasets
from tests.command import run_harness
from tests.data.fake_hub import serve
from tests.evaluation.folders import write_scifact, write_sts
from tests.study.builders import edited, write_study


def _study(folder: Path, *, mirrors: str = "") -> Path:
    text = edited(
        "  news: {source: news, tasks: [BBCTopicClassification]}",
        "  main: {tasks: [STSBenchmark, SciFact, BBCTopicClustering, PasskeyRetrieval], source: news}\n"
        + mirrors,
    ).replace("model: {base: tiny}", "model: {base: big}")
    return write_study(folder, text)


def _hub_files(mirror: Path, name: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (mirror / name).iterdir()}


def test_a_prefetched_mirror_is_all_that_a_plan_needs(tmp_path: Path) -> None:
    study = _study(tmp_path)
    made = tmp_path / "made"
    write_sts(made)
    write_scifact(made)
    repositories = {
        "datasets/mteb/stsbenchmark-sts": _hub_files(made, "mteb/stsbenchmark-sts"),
        "datasets/mteb/scifact": _hub_files(made, "mteb/scifact"),
        "some/model": {"config.json": b"{}", "model.safetensors": b"weights"},
    }
    mirror = tmp_path / "mirror"
    with serve(repositories) as hub:
        done = subprocess.run(
            [sys.executable, "-m", "harness.cli", "prefetch", str(study), "--to", str(mirror), "--json"],
            env={**os.environ, "HF_ENDPOINT": hub.url},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    brought = json.loads(done.stdout)
    assert brought.keys() == {"mteb/stsbenchmark-sts", "mteb/scifact", "some/model"}
    for task in ("STSBenchmark", "SciFact"):
        (dataset,) = task_datasets(task)
        assert brought[dataset.name]["revision"] == dataset.revision
    assert brought["some/model"]["revision"] == "abc"
    planned = run_harness("plan", str(study), "--mirror", str(mirror), "--home", str(tmp_path / "h"))
    assert planned.returncode == 0, planned.stderr


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_what_a_mirror_lacks_is_said_before_anything_runs(tmp_path: Path, verb: str) -> None:
    study = _study(tmp_path, mirrors="mirrors: [mirror]\n")
    write_sts(tmp_path / "mirror")
    done = run_harness(verb, str(study), "--home", str(tmp_path / "home"))
    assert done.returncode == 2
    assert "2 of 3 repositories are not as needed" in done.stderr
    assert "some/model (model): missing (for model)" in done.stderr
    assert "mteb/scifact (dataset): missing (for SciFact)" in done.stderr
    assert f"harness prefetch {study} --to {tmp_path / 'mirror'}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "home").exists()


def test_a_mirror_is_listed_with_size_licence_and_who_needs_it(tmp_path: Path) -> None:
    study = _study(tmp_path)
    mirror = tmp_path / "mirror"
    write_sts(mirror)
    readme = mirror / "mteb" / "stsbenchmark-sts" / "README.md"
    readme.write_text(readme.read_text().replace("---\n", "---\nlicense: cc-by-sa-4.0\n", 1))
    done = run_harness("data", "list", str(mirror), "--study", str(study), "--json")
    rows = {row["name"]: row for row in json.loads(done.stdout)["repositories"]}
    assert rows["mteb/stsbenchmark-sts"]["licence"] == "cc-by-sa-4.0"
    assert rows["mteb/stsbenchmark-sts"]["size"] > 1000
    assert rows["mteb/stsbenchmark-sts"]["needed_by"] == ["STSBenchmark"]
    assert rows["mteb/scifact"] == {
        "name": "mteb/scifact",
        "size": None,
        "revision": "",
        "licence": "",
        "needed_by": ["SciFact"],
    }
    text = run_harness("data", "list", str(mirror)).stdout
    assert "cc-by-sa-4.0" in text
    assert "scifact" not in text


def test_a_licence_may_be_in_a_repositorys_own_manifest(tmp_path: Path) -> None:
    write_sts(tmp_path)
    manifest = tmp_path / "mteb" / "stsbenchmark-sts" / "manifest.json"
    for text, licence in (
        ('{"licence": "MIT; some parts CC BY 4.0"}', "MIT; some parts CC BY 4.0"),
        ("[", ""),
    ):
        manifest.write_text(text)
        done = run_harness("data", "list", str(tmp_path), "--json")
        (row,) = json.loads(done.stdout)["repositories"]
        assert row["licence"] == licence


def test_check_finds_a_changed_byte(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "mirror" / "mteb" / "summeval"
    target = tmp_path / "mteb" / "summeval"
    target.mkdir(parents=True)
    for path in source.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    assert run_harness("data", "check", str(tmp_path)).returncode == 0
    file = next(path for path in target.iterdir() if path.suffix == ".gz")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    done = run_harness("data", "check", str(tmp_path))
    assert done.returncode == 1
    assert f"mteb/summeval: FAULT: {file.name} was changed" in done.stdout
