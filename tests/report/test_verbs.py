"""`tables`, `report` and `verify` as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from harness.cli import report, tables, verify
from harness.cli.locate import locate_records, study_name
from harness.errors import RecordError
from harness.records.store import write_records
from harness.records.summary import write_summary
from harness.report.write import render_report, write_report
from tests.tables.fake_study import make_records, make_summary

NAME = make_summary().name
app = typer.Typer()
app.command("tables")(tables.command)
app.command("report")(report.command)
app.command("verify")(verify.command)
run = CliRunner()


def publish(folder: Path) -> None:
    folder.mkdir(parents=True)
    write_summary(make_summary(), folder / "study.json")
    write_records(folder / "records.jsonl", make_records())


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one published study and its report, to be in."""
    monkeypatch.chdir(tmp_path)
    publish(tmp_path / "results" / NAME)
    write_report(make_summary(), make_records(), tmp_path / "reports" / NAME)
    return tmp_path


@pytest.mark.parametrize("form", ["md", "csv", "tex", "json"])
def test_tables_prints_the_table_and_nothing_else(checkout: Path, form: str) -> None:
    done = run.invoke(app, ["tables", NAME, "--format", form])
    assert done.exit_code == 0
    assert done.stdout == render_report(make_summary(), make_records())[f"table.{form}"]


def test_tables_as_json_is_the_json_format(checkout: Path) -> None:
    plain = json.loads(run.invoke(app, ["tables", NAME, "--json"]).stdout)
    assert plain["name"] == NAME


def test_report_writes_below_reports_and_prints_the_paths(checkout: Path) -> None:
    done = run.invoke(app, ["report", NAME])
    assert done.exit_code == 0
    assert [Path(line).name for line in done.stdout.splitlines()][-1] == "index.html"
    assert all(Path(line).is_file() for line in done.stdout.splitlines())


def test_report_writes_where_it_is_told(checkout: Path) -> None:
    done = run.invoke(app, ["report", f"results/{NAME}", "--to", "page", "--json"])
    plain = json.loads(done.stdout)
    assert plain["study"] == NAME
    assert Path("page/index.html").is_file()
    assert "page/index.html" in plain["files"]


def test_the_store_comes_before_published_records(checkout: Path) -> None:
    home = checkout / "home"
    publish(home / "studies" / NAME)
    assert locate_records(NAME, home=home) == home / "studies" / NAME
    assert locate_records(NAME) == Path("results") / NAME


def test_a_study_may_be_named_by_its_file(checkout: Path) -> None:
    Path("ablations").mkdir()
    Path("ablations/short.yaml").write_text(f"name: {NAME}\n", encoding="utf-8")
    assert study_name("ablations/short.yaml") == NAME
    assert study_name("short") == NAME
    assert run.invoke(app, ["tables", "ablations/short.yaml"]).exit_code == 0


def test_an_unknown_study_is_answered_with_the_names_that_there_are(checkout: Path) -> None:
    with pytest.raises(RecordError) as caught:
        locate_records("reconstruction-new")
    assert f"Did you mean '{NAME}'?" in caught.value.cure


def test_without_any_records_the_command_that_makes_them_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecordError, match="harness run mine"):
        locate_records("mine")


def test_verify_finds_untouched_reports_equal(checkout: Path) -> None:
    done = run.invoke(app, ["verify"])
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert len(lines) == 6
    assert all(line.startswith("OK ") for line in lines)
    assert "0 files differ" in done.stderr


def test_verify_tells_rounding_from_difference(checkout: Path) -> None:
    file = checkout / "reports" / NAME / "table.md"
    file.write_text(file.read_text(encoding="utf-8").replace("75.65", "75.66"), encoding="utf-8")
    done = run.invoke(app, ["verify", NAME])
    assert done.exit_code == 0
    assert f"rounding  reports/{NAME}/table.md" in done.stdout
    file.write_text(file.read_text(encoding="utf-8").replace("75.66", "79.66"), encoding="utf-8")
    done = run.invoke(app, ["verify", NAME])
    assert done.exit_code == 1
    assert f"differs   reports/{NAME}/table.md" in done.stdout
    assert "79.66" in done.stdout


def test_verify_fails_where_a_published_study_has_no_report(checkout: Path) -> None:
    (checkout / "reports" / NAME / "index.html").unlink()
    done = run.invoke(app, ["verify", "--json"])
    assert done.exit_code == 1
    plain = json.loads(done.stdout)
    assert plain["num_differing"] == 1
    (bad,) = [one for one in plain["files"] if one["status"] == "differs"]
    assert (bad["file"], bad["detail"]) == (f"reports/{NAME}/index.html", "no such file")


def test_verify_of_nothing_says_so_and_of_an_unknown_study_is_wrong_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run.invoke(app, ["verify"])
    assert done.exit_code == 0
    assert "nothing to rebuild" in done.stderr
    assert isinstance(run.invoke(app, ["verify", "x"]).exception, RecordError)
