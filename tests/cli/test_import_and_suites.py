"""`harness import` and `harness tables --suite`, from the files to the bytes on stdout."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from tests.command import run_harness
from tests.records.result_files import REVISION, today, write_file, write_model
from tests.tables.fake_study import make_records, make_summary

V1 = ("--suite", "MTEB(eng, v1)")


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lab")
    write_model(root / "snapshot" / "results")
    external = write_model(root / "snapshot" / "results", revision="external")
    (external / "ArguAna.json").unlink()
    done = run_harness("import", str(root / "snapshot" / "results"), "--to", str(root / "records"))
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{root / 'records'}\n"
    assert "135 files" in done.stderr
    return root / "records"


def test_csv_on_stdout_is_the_numbers_alone(imported: Path) -> None:
    done = run_harness("tables", str(imported), *V1, "--columns", "type", "--format", "csv")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == (
        "model,revision,Classification,Clustering,PairClassification,Reranking,Retrieval,STS,"
        "Summarization,Average,coverage"
    )
    rows = {row["revision"]: row for row in csv.DictReader(io.StringIO(done.stdout))}
    assert rows[REVISION]["coverage"] == "56/56"
    assert rows["external"]["coverage"] == "55/56"
    assert (rows["external"]["Retrieval"], rows["external"]["Average"]) == ("", "")
    assert rows["external"]["STS"] == rows[REVISION]["STS"]
    assert "missing: snapshot/org__small/external/ has no ArguAna.json" in done.stderr


@pytest.mark.parametrize("form", ["markdown", "latex", "json", "html"])
def test_other_formats_hold_the_footnotes_themselves(imported: Path, form: str) -> None:
    done = run_harness("tables", str(imported), *V1, "--format", form)
    assert (done.returncode, done.stderr) == (0, "")
    assert "ArguAna.json" in done.stdout


def test_a_union_is_one_line_a_model(imported: Path) -> None:
    done = run_harness("tables", str(imported), *V1, "--union", "external,revision", "-f", "csv")
    (row,) = csv.DictReader(io.StringIO(done.stdout))
    assert (row["revision"], row["coverage"]) == ("UNION(external,revision)", "56/56")


def test_papers_stand_beside_imported_rows(imported: Path) -> None:
    done = run_harness(
        "tables", str(imported), *V1, "--beside", "results/published/e5-mistral", "-f", "csv"
    )
    assert done.returncode == 0, done.stderr
    assert '"arXiv 2401.00368, ablations"' in done.stdout


@pytest.mark.parametrize("chosen", [["type,borda"], ["type", "borda"]], ids=["list", "repeated"])
def test_averages_are_chosen(chosen: list[str], imported: Path) -> None:
    averages = [word for one in chosen for word in ("--average", one)]
    done = run_harness("tables", str(imported), *V1, *averages, "-f", "csv")
    assert done.stdout.splitlines()[0].endswith("Summarization,AverageOfTypes,BordaRank,coverage")


def test_importing_again_and_json_say_that_nothing_is_new(imported: Path) -> None:
    source = imported.parent / "snapshot" / "results"
    done = run_harness("import", str(source), "--to", str(imported), "--json")
    assert json.loads(done.stdout)["num_new"] == 0


def test_an_import_in_the_store_is_found_by_its_name(tmp_path: Path) -> None:
    write_model(tmp_path / "snapshot" / "results")
    home = ("--home", str(tmp_path / "store"))
    done = run_harness("import", str(tmp_path / "snapshot"), "--as", "mine", *home)
    assert done.stdout == f"{tmp_path / 'store' / 'imports' / 'mine'}\n"
    table = run_harness("tables", "mine", *V1, "-f", "csv", *home)
    assert "56/56" in table.stdout


def test_a_changed_number_ends_with_both_and_exit_code_2(imported: Path, tmp_path: Path) -> None:
    source = tmp_path / "snapshot" / "results"
    shutil.copytree(imported.parent / "snapshot" / "results", source)
    write_file(source / "org__small" / REVISION, "ArguAna", today("ArguAna", "test", "default", 0.99))
    done = run_harness("import", str(source), "--to", str(imported))
    assert done.returncode == 2
    assert "0.99" in done.stderr
    assert "--replace" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name a suite"),
        (["--suite", "MTEB(eng, v3)"], "Did you mean"),
        ([*V1, "--columns", "language"], "--columns type or --columns task"),
        ([*V1, "--average", "tasks"], "Did you mean 'task'?"),
        ([*V1, "--accept", "MSMARCO"], "not TASK=SPLIT"),
        ([*V1, "--union", ""], "no order of revisions"),
        ([*V1, "--beside", "gone"], "no such file"),
    ],
    ids=str,
)
def test_wrong_use_ends_with_a_message(imported: Path, arguments: list[str], said: str) -> None:
    done = run_harness("tables", str(imported), *arguments)
    assert done.returncode == 2, done.stdout
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_study_keeps_its_own_table_and_has_that_of_a_benchmark_too(tmp_path: Path) -> None:
    from harness.records.store import write_records
    from harness.records.summary import write_summary

    write_summary(make_summary(), tmp_path / "study.json")
    write_records(tmp_path / "records.jsonl", make_records())
    own = run_harness("tables", str(tmp_path))
    assert own.returncode == 0, own.stderr
    suite = run_harness("tables", str(tmp_path), "--suite", "BEIR", "-f", "csv")
    assert suite.returncode == 0, suite.stderr
    assert suite.stdout.startswith("model,revision,Retrieval,")


@pytest.mark.parametrize("paper", ["anchor", "e5-mistral"])
@pytest.mark.parametrize("form", ["md", "csv", "tex", "json", "html"])
def test_a_papers_tables_are_printed(paper: str, form: str) -> None:
    done = run_harness("tables", f"results/published/{paper}", "--format", form)
    assert done.returncode == 0, done.stderr
    assert "0.00" not in done.stdout.split("\n")[0]
    assert done.stdout
