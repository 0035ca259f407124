"""After SIGKILL in the middle of training, the same command ends with the same bytes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from tests.end_to_end.conftest import NUM_STEPS, Desk

# A driver that gets signals right after its n-th checkpoint: always inside a training step.
DRIVER = """
import os, signal, sys
from harness.training.checkpoints import CheckpointFolder
original, saved = CheckpointFolder.save, []
def save_and_die(self, *arguments, **options):
    original(self, *arguments, **options)
    saved.append(None)
    if len(saved) == {count}:
        for number in {signals}:
            os.kill(os.getpid(), number)
CheckpointFolder.save = save_and_die
sys.argv = ["harness", *{arguments!r}]
from harness.cli.main import main
main()
"""


def _run_until_killed(desk: Desk, *, checkpoints: int) -> None:
    code = DRIVER.format(signals=[9], count=checkpoints, arguments=desk.command("run"))
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def _states(desk: Desk) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for step in json.loads(desk.harness("status", "--json").stdout)["steps"]:
        found.setdefault(step["state"], []).append(step["step"])
    return found


def _starts(desk: Desk) -> Counter[str]:
    lines = (desk.home / "journal.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    return Counter(event["step"] for event in events if event["kind"] == "started")


@pytest.mark.parametrize("checkpoints", [1, 4], ids=["in stage I", "in stage II"])
def test_finished_steps_are_kept_and_the_table_is_the_same(
    checkpoints: int, desk: Desk, finished: tuple[Desk, dict[str, Any]]
) -> None:
    _run_until_killed(desk, checkpoints=checkpoints)
    states = _states(desk)
    assert len(states["interrupted"]) == 1
    num_done = len(states["done"])
    assert num_done >= 2

    said = desk.run_json()
    assert said["steps"] == {"run": NUM_STEPS - num_done, "reused": num_done, "failed": 0, "skipped": 0}
    starts = _starts(desk)
    assert sorted(starts.values()) == [1] * (NUM_STEPS - 1) + [2]
    (twice,) = [name for name, count in starts.items() if count == 2]
    (log,) = (desk.home / "logs").glob(f"*-{twice}.log")
    assert "going on from step" in log.read_text()
    assert desk.tables() == finished[0].tables()


def test_the_second_interrupt_ends_the_step_and_says_that_nothing_is_lost(desk: Desk) -> None:
    code = DRIVER.format(signals=[2, 2], count=1, arguments=desk.command("run"))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 130
    assert "finishing 1 running steps" in done.stderr
    assert "what was finished is kept" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(_states(desk)["interrupted"]) == 1
