"""`publish`, `verify` and `compare` in a clone of their own, as a reviewer uses them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.records.store import write_records
from harness.records.summary import write_summary
from tests.conftest import REPOSITORY
from tests.tables.fake_study import label, make_records, make_summary
from tests.tables.per_query import write_per_query

NAME = make_summary().name


def _run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def _harness(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return _run(folder, sys.executable, "-m", "harness.cli", *arguments)


def _git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=tester", "-c", "user.email=tester@example.org")
    done = _run(folder, "git", *identity, *arguments)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in which a study with per-query scores was published and committed."""
    folder = tmp_path_factory.mktemp("origin")
    source = folder / ".harness" / "studies" / NAME
    source.mkdir(parents=True)
    write_summary(make_summary(), source / "study.json")
    write_records(source / "records.jsonl", make_records())
    write_per_query(make_records(), source)
    _git(folder, "init", "--quiet")
    (folder / ".gitignore").write_text(".harness/\n/reports/*\n/results/*\n", encoding="utf-8")
    done = _harness(folder, "publish", NAME, "--json")
    assert done.returncode == 0, done.stderr
    commit = json.loads(done.stdout)["commit"]
    assert commit == f"git add --force results/{NAME} reports/{NAME}"
    _git(folder, *commit.split()[1:], ".gitignore")
    _git(folder, "commit", "--quiet", "-m", "Results")
    return folder


@pytest.fixture
def clone(origin: Path, tmp_path: Path) -> Path:
    _git(tmp_path, "clone", "--quiet", str(origin), "clone")
    return tmp_path / "clone"


def test_a_clone_rebuilds_the_same_bytes(clone: Path) -> None:
    names = {path.name for path in (clone / "results" / NAME).iterdir()}
    assert names == {"study.json", "records.jsonl", "per_query.parquet"}
    done = _harness(clone, "verify")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["OK"] * 6
    assert "† over queries alone" in (clone / "reports" / NAME / "table.md").read_text(encoding="utf-8")


def test_one_changed_cell_is_named(clone: Path) -> None:
    file = clone / "reports" / NAME / "table.csv"
    file.write_text(file.read_text(encoding="utf-8").replace("75.65", "79.65", 1), encoding="utf-8")
    done = _harness(clone, "verify", NAME)
    assert done.returncode == 1
    assert f"differs   reports/{NAME}/table.csv" in done.stdout
    assert "row reconstruction=on, pairs=paragraphs, news/BBCHeadlineRetrieval" in done.stdout
    assert "published '79.65', rebuilt '75.65'" in done.stdout


def test_a_changed_record_is_seen_in_every_table(clone: Path) -> None:
    file = clone / "results" / NAME / "records.jsonl"
    text = file.read_text(encoding="utf-8")
    assert '"value": 0.664' in text
    file.write_text(text.replace('"value": 0.664', '"value": 0.764'), encoding="utf-8")
    done = _harness(clone, "verify", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["num_differing"] == 6


def test_lost_queries_are_seen(clone: Path) -> None:
    (clone / "results" / NAME / "per_query.parquet").unlink()
    assert _harness(clone, "verify").returncode == 1


def test_publishing_again_changes_nothing(clone: Path) -> None:
    done = _harness(clone, "publish", f"results/{NAME}")
    assert done.returncode == 0, done.stderr
    assert _run(clone, "git", "status", "--porcelain").stdout == ""


def test_two_rows_are_compared_from_the_clone(clone: Path) -> None:
    done = _harness(clone, "compare", label("off", "headlines"), label("on", "headlines"), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["overall"]["wins"] == 4
    assert found["tasks"][0]["inference"]["level"] == "seeds and queries"
    seeds = _harness(clone, "compare", "on-headlines-s0", f"{NAME}::on-headlines-s1", "--format", "csv")
    assert seeds.returncode == 0, seeds.stderr
    assert ",queries," in seeds.stdout


def test_two_runs_of_one_variant_are_compared_by_folder(clone: Path, tmp_path: Path) -> None:
    other = tmp_path / "again"
    other.mkdir()
    write_summary(make_summary(), other / "study.json")
    write_records(other / "records.jsonl", make_records())
    row = label("on", "headlines")
    done = _harness(clone, "compare", f"results/{NAME}::{row}", f"{other}::{row}")
    assert done.returncode == 0, done.stderr
    assert "equal on 4 and worse on 0 of 4 tasks" in done.stdout
    assert str(other) in done.stdout


def test_a_published_row_without_a_study_is_compared_by_task(clone: Path, tmp_path: Path) -> None:
    paper = tmp_path / "paper"
    records = [one for one in make_records() if one.variant == "untrained"]
    write_records(paper / "records.jsonl", records)
    row = label("on", "headlines")
    done = _harness(clone, "compare", f"{paper}::untrained", row, "--format", "csv")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1 + 4


@pytest.mark.parametrize(
    ("first", "told"),
    [
        ("reconstruction=of, pairs=headlines", "no row 'reconstruction=of, pairs=headlines'"),
        (f"{NAME}::untraine", "Did you mean 'untrained'?"),
        ("a::b::c::d", "names no row"),
        ("nowhere::untrained", "no records of 'nowhere'"),
    ],
)
def test_a_name_that_fits_nothing_is_wrong_use(clone: Path, first: str, told: str) -> None:
    done = _harness(clone, "compare", first, "untrained")
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
