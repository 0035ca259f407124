"""`harness search`: from a study to its best trial, page and studies."""

from __future__ import annotations

import json
import re
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness.cli.main import app
from harness.errors import HarnessError
from harness.execution.overseen import RunCancelledError
from harness.execution.oversight import Oversight
from harness.execution.runs import Runs
from harness.records.store import read_records
from harness.records.summary import read_summary
from harness.stages import StepContext
from harness.study import load_study
from harness.tables.build import build_table
from tests.search.fake import STUDY, FakeStages, edited
from tests.study.builders import write_study

TEXT = edited("trials: 20", "trials: 12\n  noise_seeds: [1, 2, 3]")
ARGUMENTS = ("--home", "home", "--backend", "in-process", "--workers", "4")


@pytest.fixture
def desk_with_plots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "studies").mkdir()
    write_study(tmp_path / "studies", TEXT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def desk(desk_with_plots: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same without plots, which take longer than everything else."""
    monkeypatch.setattr("harness.search.page.draw_plots", lambda *_, **__: [])
    return desk_with_plots


def harness(*arguments: str) -> dict[str, Any]:
    """Run the verb on the study and return what it prints as JSON."""
    command = ["search", "studies/small.yaml", *ARGUMENTS, *arguments, "--json"]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_the_best_trial_is_the_best_row_of_the_table(stages: FakeStages, desk: Path) -> None:
    said = harness()
    assert [trial["state"] for trial in said["trials"]] == ["complete"] * 12
    (best,) = said["best"]
    assert best["values"][0] == max(trial["values"][0] for trial in said["trials"])
    folder = desk / "home" / "studies" / "small-search"
    table = build_table(read_summary(folder / "study.json"), read_records(folder / "records.jsonl"))
    (mean,) = [place for place, column in enumerate(table.columns) if column.kind == "mean"]
    rows = [row.cells[mean] for row in table.rows if row.role == "variant"]
    assert len(rows) == len({json.dumps(trial["params"]) for trial in said["trials"]})
    assert best["values"][0] == max(cell.value for cell in rows if cell.value is not None)


def test_a_search_is_seen_while_it_runs_ends_with_its_study_and_goes_on(
    stages: FakeStages, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = desk / "home"
    monkeypatch.setattr("harness.cli.search.Oversight", partial(Oversight, look_seconds=0.0))
    run = stages.run
    seen: list[bool] = []

    def run_and_ask(name: str, context: StepContext) -> None:
        run(name, context)
        if stages.runs["contrast"] == 3 and not seen:
            listed = CliRunner().invoke(app, ["status", "small-search", "--home", "home", "--json"])
            running = [one for one in json.loads(listed.stdout)["steps"] if one["state"] == "running"]
            seen.extend(one["fingerprint"] == context.fingerprint for one in running)
            asked = CliRunner().invoke(app, ["cancel", "small", "--home", "home"])
            assert "asked the run of small-search" in asked.stderr

    monkeypatch.setattr(stages, "run", run_and_ask)
    command = ["search", "studies/small.yaml", *ARGUMENTS]
    with pytest.raises(RunCancelledError, match="cancelled: what was finished is kept") as cancelled:
        CliRunner().invoke(app, command, catch_exceptions=False)
    assert cancelled.value.exit_code == 1
    assert seen == [True]
    assert stages.runs["contrast"] == 3
    assert not Runs(home).living()
    said = harness()
    assert [trial["state"] for trial in said["trials"]] == ["complete"] * 12
    trained = {json.dumps(trial["params"]) for trial in said["trials"]}
    assert stages.runs["contrast"] == len(trained) + 3, "three repeats, and nothing twice"


def test_the_best_is_repeated_with_other_seeds(stages: FakeStages, desk_with_plots: Path) -> None:
    before = stages.runs["contrast"]
    harness()
    assert stages.runs["contrast"] == before + 12 + 3
    page = (desk_with_plots / "reports" / "small-search" / "search.html").read_text()
    assert "with other training seeds" in page
    assert "The dashed line is what another training seed explains" in page


def test_the_page_is_whole_safe_and_the_same_each_time(
    stages: FakeStages, desk_with_plots: Path
) -> None:
    harness()
    path = desk_with_plots / "reports" / "small-search" / "search.html"
    page = path.read_text()
    assert page.count("data:image/svg+xml") == 3
    assert "<script" not in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    before = stages.runs.copy()
    harness("--report")
    assert path.read_text() == page
    assert stages.runs == before


def test_names_from_a_study_are_escaped(stages: FakeStages, desk: Path) -> None:
    hostile = edited("Which temperature?", "'<script>alert(1)</script>?'", text=TEXT)
    write_study(desk / "studies", hostile)
    harness()
    page = (desk / "reports" / "small-search" / "search.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_the_best_study_runs_and_scores_the_final_suite(stages: FakeStages, desk: Path) -> None:
    best = harness()["best"][0]["params"]
    study = load_study(desk / "reports" / "small-search" / "best.yaml")
    assert study.name == "small-best"
    assert study.search is None
    (variant,) = study.variants
    assert variant.recipes[0].contrastive.temperature == best["contrastive.temperature"]
    assert variant.recipes[0].contrastive.tuning.rank == best["contrastive.tuning.rank"]
    command = ["run", "reports/small-search/best.yaml", "--home", "home", "--backend", "in-process"]
    trained = stages.runs["contrast"]
    done = CliRunner().invoke(app, [*command, "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    # The model is there: only the final suite is new.
    assert json.loads(done.stdout)["steps"]["run"] == 1
    assert stages.runs["contrast"] == trained


def test_around_the_best_each_choice_is_undone_alone(stages: FakeStages, desk: Path) -> None:
    best = harness()
    harness("--around-best")
    study = load_study(desk / "reports" / "small-search" / "around-best.yaml")
    point = best["best"][0]["params"]
    default = {"contrastive.temperature": 0.02, "contrastive.tuning.rank": 16}
    undone = [name for name, value in point.items() if value != default[name]]
    assert len(study.variants) == 1 + len(undone)
    assert [recipe.seed for recipe in study.variants[0].recipes] == [0, 1, 2, 3]
    base, *others = [variant.recipes[0].contrastive for variant in study.variants]
    for name, other in zip(undone, others, strict=True):
        changed = {
            "contrastive.temperature": other.temperature,
            "contrastive.tuning.rank": other.tuning.rank,
        }
        assert changed == {**point, name: default[name]}
    assert base.temperature == point["contrastive.temperature"]


def test_several_objectives_have_a_front(stages: FakeStages, desk_with_plots: Path) -> None:
    text = edited("[{maximize: dev}]", "[{maximize: dev}, {minimize: parameters}]", text=TEXT)
    write_study(desk_with_plots / "studies", text)
    said = harness()
    assert len(said["best"]) > 1
    page = (desk_with_plots / "reports" / "small-search" / "search.html").read_text()
    assert "Pareto front" in page
    assert "Trials that no other beats" in page


def test_another_seed_is_another_search(stages: FakeStages, desk: Path) -> None:
    assert harness()["search"] != harness("--sampler-seed", "1")["search"]


def test_a_study_without_a_search_says_so(stages: FakeStages, desk: Path) -> None:
    write_study(desk / "studies", STUDY[: STUDY.index("search:")])
    with pytest.raises(HarnessError, match="has no `search` section"):
        harness()


def test_a_report_of_nothing_says_what_makes_it(stages: FakeStages, desk: Path) -> None:
    with pytest.raises(HarnessError, match="no trial of small-") as caught:
        harness("--report")
    assert "harness search" in caught.value.cure


def test_the_dashboard_shows_the_trials_on_loopback_alone(
    stages: FakeStages, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dashboard = pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed")
    served: dict[str, Any] = {}

    def run_server(storage: Any, *, host: str, port: int) -> None:
        names = [study.study_name for study in storage.get_all_studies()]
        served.update(names=names, host=host, port=port)

    monkeypatch.setattr(dashboard, "run_server", run_server)
    name = harness()["search"]
    command = ["search", "studies/small.yaml", *ARGUMENTS, "--dashboard", "--port", "8123"]
    assert CliRunner().invoke(app, command, catch_exceptions=False).exit_code == 0
    assert served == {"names": [name], "host": "127.0.0.1", "port": 8123}


def test_a_missing_dashboard_is_named_with_the_command(
    stages: FakeStages, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    with pytest.raises(HarnessError, match="optuna-dashboard") as caught:
        harness("--dashboard")
    assert "embedding-harness[dashboard]" in caught.value.cure
