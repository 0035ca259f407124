"""What `harness data sources` and `harness data show` tell."""

from __future__ import annotations

import json
from pathlib import Path

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
