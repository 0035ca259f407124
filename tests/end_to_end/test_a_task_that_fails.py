"""A task that cannot be scored fails alone: the others keep their scores and the table says why."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

from tests.end_to_end.conftest import NUM_STEPS, Desk
from tests.evaluation.folders import write_scifact


def _with_suite(desk: Desk, finished: Desk, suite: str) -> None:
    """Add a suite to the study, and give it the finished study's store to start from."""
    text = desk.study.read_text(encoding="utf-8")
    desk.study.write_text(text + suite, encoding="utf-8")
    shutil.copytree(finished.home, desk.home)


def test_data_without_the_split_that_is_scored_is_named_and_nothing_else_is_lost(
    desk: Desk, finished: tuple[Desk, dict[str, Any]], tmp_path: Path
) -> None:
    _with_suite(desk, finished[0], "  stock: {tasks: [SciFact]}\n")
    mirror = tmp_path / "mirror"
    write_scifact(mirror)
    readme = mirror / "mteb" / "scifact" / "README.md"
    readme.write_text(readme.read_text().replace("qrels.jsonl", "gone.jsonl"))

    done = desk.harness("run", "--json", "--mirror", str(mirror))
    assert done.returncode == 1, done.stderr
    said = json.loads(done.stdout)
    steps = said["steps"]
    assert (steps["run"], steps["reused"], steps["failed"] + steps["skipped"]) == (0, NUM_STEPS, 6)
    # After some models failed alike on this task, those that are not under way are not tried on it.
    assert steps["failed"] >= 3
    assert steps["skipped"] >= 1
    assert all("mteb/scifact" in failure["message"] for failure in said["failures"])
    assert all(Path(failure["log"]).is_file() for failure in said["failures"])

    rows = list(csv.DictReader((desk.report / "table.csv").read_text().splitlines()))
    assert len(rows) == 4
    table = json.loads((desk.report / "table.json").read_text())
    text = json.dumps(table)
    assert "mteb/scifact" in text
    assert (
        f"harness prefetch {desk.study} --to MIRROR, then harness retry {desk.study} --missing" in text
    )

    status = json.loads(desk.harness("status", "--json").stdout)
    assert status["counts"]["failed"] == steps["failed"]
    assert status["counts"]["waiting"] == steps["skipped"]
    assert status["counts"]["done"] == NUM_STEPS


def test_an_edited_study_runs_only_what_is_new(
    desk: Desk, finished: tuple[Desk, dict[str, Any]]
) -> None:
    _with_suite(desk, finished[0], "")
    text = desk.study.read_text(encoding="utf-8")
    desk.study.write_text(text.replace("steps: 12", "steps: 13"), encoding="utf-8")
    plan = json.loads(desk.harness("plan", "--json").stdout)
    running = {step["stage"] for step in plan["steps"] if step["state"] == "run"}
    assert running == {"contrast", "evaluate"}
    # The untrained base and lexical search keep their four tasks each.
    assert plan["counts"] == {"run": 4 + 4 * 4, "reuse": NUM_STEPS - 20, "wait": 0}
