"""What `harness data sources` and `harness data show` tell."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from harness.cli import cancel
from harness.cli.training_data import show_command
from harness.errors import HarnessError
from harness.execution.journal import Journal
from harness.execution.noted import read_noted
from harness.execution.oversight import Oversight
from harness.execution.overview import look_over
from harness.execution.runs import Runs
from harness.execution.store import ArtifactStore
from harness.stages import STAGES, StepContext
from tests.command import run_harness as run
from tests.evaluation.folders import write_lines
from tests.study.builders import edited, write_study


def _study(folder: Path) -> Path:
    rows = [{"query": f"question {i}", "positive": f"some answer {i % 4}", "id": i} for i in range(8)]
    write_lines(folder / "mine.jsonl", [*rows, {**rows[0], "id": 9}])
    news = "  news: {kind: bbc, path: news}\n"
    mine = "  mine: {kind: files, path: mine.jsonl, clean: {}}\n"
    return write_study(folder, edited(news, news + mine))


def test_a_source_is_built_and_its_numbers_told(tmp_path: Path) -> None:
    study = _study(tmp_path)
    arguments = ("data", "show", "mine", "--study", str(study), "--home", str(tmp_path / "home"))
    told = json.loads(run(*arguments, "--json").stdout)
    assert told["all"]["pairs"] == 8
    assert told["all"]["duplicate_pairs"] == 0
    assert [one.get("cleaning") or one.get("columns_passed_over") for one in told["told"]] == [
        {"id": 9},
        {"duplicate": 1, "kept": 8},
    ]
    page = run(*arguments).stdout
    assert "mine: cleaning: 1 duplicate, 8 kept" in page


def test_data_steps_are_seen_while_they_run_and_can_be_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, home = _study(tmp_path), tmp_path / "home"
    monkeypatch.setattr("harness.execution.data_run.Oversight", partial(Oversight, look_seconds=0.0))
    stage = STAGES["source"]

    class Asking:
        version = stage.version

        def run(self, context: StepContext) -> None:
            stage.run(context)
            plan = read_noted(home, "small-data")
            assert plan is not None
            (running,) = [
                one.step.fingerprint
                for one in look_over(plan, ArtifactStore(home)).steps
                if one.state == "running"
            ]
            assert running == context.fingerprint
            cancel.command("small-data", home=home)

    arguments: dict[str, Any] = {"study": str(study), "home": home, "json": True}
    with monkeypatch.context() as patch:
        patch.setitem(cast("dict[str, Any]", STAGES), "source", Asking())
        with pytest.raises(HarnessError, match="cancelled: 1 steps of small-data"):
            show_command("mine", **arguments)
    assert read_noted(home, "small-data") is None
    assert not Runs(home).living()
    show_command("mine", **arguments)
    started = [event for event in Journal(home / "journal.jsonl").read() if event.kind == "started"]
    assert len(started) == 2, "what was done before is not done again"


def test_an_unknown_source_or_pair_set_is_told_with_what_there_is(tmp_path: Path) -> None:
    study = _study(tmp_path)
    home = ("--home", str(tmp_path / "home"))
    wrong = run("data", "show", "mne", "--study", str(study), *home)
    assert wrong.returncode == 2
    assert "no source 'mne'. Did you mean 'mine'?" in wrong.stderr
    wrong = run("data", "show", "mine", "--pairs", "x", "--study", str(study), *home)
    assert "It has: default." in wrong.stderr
    wrong = run("data", "show", "mine", *home)
    assert "Sources of a study need `--study`." in wrong.stderr


def test_the_catalogue_lists_sets_and_the_papers_mixtures() -> None:
    told = json.loads(run("data", "sources", "--json").stdout)
    assert {"eli5", "hotpot_qa", "msmarco_passage", "open_synthetic"} <= told["sets"].keys()
    assert told["mixtures"]["public"]["msmarco_document"] == 0.2
    assert told["mixtures"]["full"].keys() == told["mixtures"]["public"].keys() | {"open_synthetic"}
    assert "NQ" in told["sets"]["nq"]["in_domain"]
    assert "mixture msmarco: msmarco_passage 0.5" in run("data", "sources").stdout
