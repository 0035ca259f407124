"""Ranks as processes: they speak with one voice, fail with one error and end together."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from harness.errors import DataError, HarnessError
from harness.training.processes import run_ranks
from tests.conftest import REPOSITORY
from tests.training import rank_work


def test_lines_and_prints_come_from_the_first_rank(capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    run_ranks(rank_work.speak, num_ranks=2, report=said.append)
    assert said == ["rank 0 reports"]
    printed = capsys.readouterr().err
    assert "rank 0 prints" in printed
    assert "rank 1" not in printed


def test_what_prints_while_a_line_is_sent_does_not_hold_it_up(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said: list[str] = []
    run_ranks(rank_work.speak_while_speaking, num_ranks=2, report=said.append)
    assert said == ["reported"]
    assert "printed meanwhile" in capsys.readouterr().err


def test_a_rank_that_is_done_and_does_not_leave_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.training.processes._END_SECONDS", 0.1)
    said: list[str] = []
    run_ranks(rank_work.never_leave, num_ranks=2, report=said.append)
    assert said == ["done"]


def test_a_ranks_own_error_is_the_error_and_ends_the_others() -> None:
    with pytest.raises(DataError) as caught:
        run_ranks(rank_work.refuse_second, num_ranks=2, report=print)
    assert str(caught.value) == "the second rank's pair 7 is empty\n  Remove it."
    assert multiprocessing.active_children() == []


def test_a_bug_keeps_its_type_and_tells_where_it_was() -> None:
    said: list[str] = []
    with pytest.raises(ZeroDivisionError, match="in rank ") as caught:
        run_ranks(rank_work.stumble, num_ranks=2, report=said.append)
    (note,) = caught.value.__notes__
    assert "of 2:" in note
    assert "rank_work.py" in note


def test_an_error_that_cannot_be_sent_is_told_by_name() -> None:
    with pytest.raises(RuntimeError, match="UnsendableError: 1 and 2"):
        run_ranks(rank_work.raise_unsendable, num_ranks=1, report=print)


def test_a_rank_that_is_killed_is_told_with_what_may_help() -> None:
    with pytest.raises(HarnessError, match=r"rank 1 of 2 died \(SIGKILL\)") as caught:
        run_ranks(rank_work.die_second, num_ranks=2, report=print)
    assert "`resources.train.micro_batch`" in caught.value.cure
    assert multiprocessing.active_children() == []


def test_a_rank_that_leaves_is_told() -> None:
    with pytest.raises(HarnessError, match=r"rank 1 of 2 died \(exit code 3\)"):
        run_ranks(rank_work.leave_second, num_ranks=2, report=print)


def test_ranks_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.training.rank_work", str(tmp_path)]
    with subprocess.Popen(command, cwd=REPOSITORY) as driver:
        ranks = psutil.Process(driver.pid)
        files = [tmp_path / f"{rank}.pid" for rank in range(2)]
        while not all(file.exists() for file in files):
            assert ranks.is_running()
        processes = [psutil.Process(int(file.read_text())) for file in files]
        driver.kill()
        driver.wait()
        gone, alive = psutil.wait_procs(processes, timeout=60)
    assert alive == []
    assert len(gone) == 2
