"""A search killed twice ends with every trial it was asked for, each once; with a real model, too."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from harness.records.store import read_records
from harness.records.summary import read_summary
from harness.tables.build import build_table
from tests.command import run_harness
from tests.conftest import REPOSITORY
from tests.search.fake import STUDY
from tests.study.builders import write_study

# `harness search` with stages that need no model, in a process that dies by SIGKILL within its n-th
# training; each training leaves a line.
DRIVER = """
import os, signal, sys
import pytest
from tests.search.fake import FakeStages

class Mortal(FakeStages):
    def run(self, name, context):
        super().run(name, context)
        if name == "contrast":
            with open({trained!r}, "a") as file:
                file.write(context.fingerprint + "\\n")
            if self.runs[name] == {last}:
                os.kill(os.getpid(), signal.SIGKILL)

Mortal().patch(pytest.MonkeyPatch())
sys.argv = ["harness", *{arguments!r}]
from harness.cli.main import main
main()
"""

TINY = """\
name: tiny-search
question: Which temperature?
bases:
  tiny: {{path: {checkpoint}}}
sources:
  news: {{kind: bbc, path: {news}, num_test: 30, num_classification_train: 20}}
recipe:
  model: {{base: tiny, max_length: 32}}
  data: {{source: news, pairs: headlines}}
  contrastive:
    steps: 4
    global_batch: 8
    learning_rate: 1e-2
    warmup_steps: 1
    query_length: 16
    document_length: 24
    tuning: {{method: lora, rank: 4, alpha: 8, dropout: 0.1}}
suites:
  dev: {{source: news, role: development, tasks: [BBCTopicClassification]}}
search:
  space:
    contrastive.temperature: {{kind: float, low: 0.005, high: 0.1, log: true}}
  objectives: [{{maximize: dev}}]
  pruner: {{kind: median, rungs: [2], startup_trials: 9}}
  trials: 2
"""


def _search(folder: Path, *, last: int) -> subprocess.CompletedProcess[str]:
    arguments = ["search", str(folder / "small.yaml"), "--home", str(folder / "home"), "--workers", "4"]
    arguments += ["--backend", "in-process", "--reports", str(folder / "reports"), "--json"]
    code = DRIVER.format(last=last, arguments=arguments, trained=str(folder / "trained"))
    return subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )


def test_twenty_trials_with_two_kills_are_twenty_trials(tmp_path: Path) -> None:
    write_study(tmp_path, STUDY)
    for last in (5, 6):
        assert _search(tmp_path, last=last).returncode == -signal.SIGKILL
    done = _search(tmp_path, last=0)
    assert done.returncode == 0, done.stderr
    assert "going on with what was left running" in done.stderr
    said = json.loads(done.stdout)
    trials = said["trials"]
    assert [trial["trial"] for trial in trials] == list(range(20))
    assert {trial["state"] for trial in trials} == {"complete"}
    points = {json.dumps(trial["params"], sort_keys=True) for trial in trials}
    trained = Counter((tmp_path / "trained").read_text().split())
    # The two trainings in flight were begun again, no other one.
    assert len(trained) == len(points)
    assert sorted(trained.values()) == [1] * (len(points) - 2) + [2, 2]
    (asks,) = (tmp_path / "home" / "search" / "small").glob("*/asks.jsonl")
    assert [json.loads(line)["trial"] for line in asks.read_text().splitlines()] == list(range(20))
    assert said["best"][0]["values"][0] == _best_row(tmp_path / "home" / "studies" / "small-search")


def _best_row(folder: Path) -> float:
    table = build_table(read_summary(folder / "study.json"), read_records(folder / "records.jsonl"))
    (mean,) = [place for place, column in enumerate(table.columns) if column.kind == "mean"]
    values = [row.cells[mean].value for row in table.rows if row.role == "variant"]
    return max(value for value in values if value is not None)


def test_trials_of_a_real_model_pass_their_rung_and_are_what_a_run_makes(
    tiny_checkpoint: Path, tiny_news: Path, tmp_path: Path
) -> None:
    study = tmp_path / "tiny-search.yaml"
    study.write_text(TINY.format(checkpoint=tiny_checkpoint, news=tiny_news))
    places = ("--home", str(tmp_path / "home"), "--reports", str(tmp_path / "reports"))
    options = (*places, "--backend", "in-process", "--json")
    done = run_harness("search", str(study), "--workers", "2", *options)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    assert [list(trial["reported"]) for trial in said["trials"]] == [["2"], ["2"]]
    logs = [path.read_text() for path in (tmp_path / "home" / "logs").glob("contrast-*.log")]
    assert len(logs) == 4
    assert sum("going on from step 2" in log for log in logs) == 2
    best = tmp_path / "reports" / "tiny-search-search" / "best.yaml"
    again = run_harness("run", str(best), *options)
    assert again.returncode == 0, again.stderr
    # What went on from a rung is the very step of an ordinary study.
    assert json.loads(again.stdout)["steps"]["run"] == 0
