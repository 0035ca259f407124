"""Money: the cap holds, a kill is survived, and what was paid for is never asked again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import StoreError, StudyError
from harness.synthesis.budget import Budget, CapReachedError
from harness.synthesis.document import Sampling, Spending
from harness.synthesis.log import NAME, RequestLog
from harness.synthesis.messages import Reply, Request
from tests.conftest import REPOSITORY
from tests.synthesis.builders import run, small, write
from tests.synthesis.unruly_server import Act, UnrulyServer, fields_of, unruly, wait_until

PRICES = {"input_per_million": 10.0, "output_per_million": 20.0}
A_REPLY = (100 * 10 + 50 * 20) / 1_000_000
"""Price of an answer of the test's server: 100 tokens in, 50 out."""


def _request(index: int = 0) -> Request:
    sampling = Sampling(max_tokens=100)
    return Request(
        step="example", kind="sts", index=index, model="m", prompt="p", schema={}, sampling=sampling
    )


def test_the_cap_is_never_passed_and_a_higher_one_goes_on(tmp_path: Path) -> None:
    with unruly() as server:
        poor = small(
            tmp_path,
            server.url,
            sampling={"max_tokens": 100},
            spending={**PRICES, "cap": 14 * A_REPLY + 0.0001},
        )
        first = run(poor, tmp_path / "out")
        num_paid = sum(server.answered.values())
        rich = small(tmp_path, server.url, sampling={"max_tokens": 100}, spending={**PRICES, "cap": 1.0})
        second = run(rich, tmp_path / "out")
    assert first.books["cost"] == pytest.approx(num_paid * A_REPLY)
    assert first.books["cost"] <= 14 * A_REPLY + 0.0001
    assert first.stopped == "the spending cap is reached"
    assert 0 < len(first.kept) < 12
    assert {drop.refused.reason for drop in first.drops} == {"not asked"}
    assert len(second.kept) == 12
    assert not second.drops
    assert set(server.answered.values()) == {1}
    assert second.books["cost"] == pytest.approx(sum(server.answered.values()) * A_REPLY)


def test_what_may_have_been_charged_counts_as_spent(tmp_path: Path) -> None:
    def play(request: dict[str, Any], before: int) -> Act:
        return Act(cut_after=30) if before == 0 and fields_of(request) != ["tasks"] else Act()

    with unruly(play) as server:
        specification = small(
            tmp_path, server.url, size=2, kinds={"sts": 1}, spending={**PRICES, "cap": 100.0}
        )
        result = run(specification, tmp_path / "out")
    assert result.books["cost"] > 2 * A_REPLY + 2 * 2048 * 20 / 1_000_000


def test_free_refusals_cost_nothing(tmp_path: Path) -> None:
    with unruly(lambda _request, before: Act(status=429) if before == 0 else Act()) as server:
        specification = small(
            tmp_path, server.url, size=2, kinds={"sts": 1}, spending={**PRICES, "cap": 100.0}
        )
        result = run(specification, tmp_path / "out")
    assert result.books["cost"] == pytest.approx(2 * A_REPLY)


@given(
    st.lists(st.tuples(st.floats(0.01, 1.0), st.floats(0.0, 1.0)), max_size=30),
    st.floats(0.1, 5.0),
)
def test_settled_and_reserved_never_pass_the_cap(
    requests: list[tuple[float, float]], cap: float
) -> None:
    budget = Budget(Spending(**PRICES, cap=cap), spent=0.0)
    for most, share in requests:
        try:
            budget.reserve(most)
        except CapReachedError:
            continue
        assert budget.spent + most <= cap + 1e-9
        budget.settle(most, most * share)
    assert budget.spent <= cap + 1e-9


def test_a_request_waits_for_money_that_comes_back() -> None:
    budget = Budget(Spending(**PRICES, cap=1.0), spent=0.0)
    budget.reserve(0.8)
    waiting = threading.Thread(target=budget.reserve, args=(0.5,), daemon=True)
    waiting.start()
    assert waiting.is_alive()
    budget.settle(0.8, 0.1)
    waiting.join(10)
    assert not waiting.is_alive()


_CHILD = """
import sys
from pathlib import Path
from harness.synthesis.load import load_specification
from tests.synthesis.builders import run
run(load_specification(Path(sys.argv[1])), Path(sys.argv[2]))
"""


def _start(specification: Path, out: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(specification), str(out)], env=environment, cwd=REPOSITORY
    )


def _kill_when(server: UnrulyServer, child: subprocess.Popen[bytes], num_answered: int) -> None:
    wait_until(lambda: sum(server.answered.values()) >= num_answered, seconds=60)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()


def test_after_sigkill_an_answer_on_disk_is_never_asked_again(tmp_path: Path) -> None:
    num_threads = 4
    with unruly() as server:
        limits = {"concurrency": num_threads, "timeout_seconds": 20}
        path = write(tmp_path, server.url, size=60, limits=limits, spending={**PRICES, "cap": 100.0})
        for num_answered in (10, 30):
            _kill_when(server, _start(path, tmp_path / "out"), num_answered)
        on_disk = [
            row["key"]
            for line in (tmp_path / "out" / NAME).read_bytes().splitlines()
            if line.endswith(b"}") and (row := json.loads(line))["event"] == "reply"
        ]
        before = server.seen.copy()
        result = run(small(tmp_path, server.url, size=60, limits=limits), tmp_path / "out")
        seen = server.seen.copy()
        undisturbed = run(small(tmp_path, server.url, size=60), tmp_path / "whole")
    assert len(result.kept) == 60
    assert result.kept == undisturbed.kept
    assert len(on_disk) >= 20
    assert all(seen[key] == before[key] for key in on_disk)
    assert len(set(on_disk)) == len(on_disk)
    # Each kill can cost what was in flight and no more; the books say so.
    repeated = sum(seen.values()) - len(seen)
    assert repeated <= 2 * num_threads
    assert result.books["attempts lost in a kill"] <= 2 * num_threads
    assert result.books["attempts"] >= sum(seen.values())
    assert result.books["answers"] == len(seen)


def test_the_log_forgets_a_torn_line_and_counts_what_was_lost(tmp_path: Path) -> None:
    path = tmp_path / NAME
    with RequestLog(path) as log:
        number = log.sent(_request(0), reserved=0.5)
        log.replied(number, _request(0).key, Reply(text="\u2028 ä", finish="stop"), cost=0.25)
        log.sent(_request(1), reserved=0.5)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"event": "rep')
    with RequestLog(path) as log:
        assert log.cost == 0.75
        assert log.events == {"sent": 2, "reply": 1, "lost": 1}
        assert log.reply(_request(0).key) == Reply(text="\u2028 ä", finish="stop")
        assert log.reply(_request(1).key) is None
    assert path.read_bytes().startswith(whole)
    with RequestLog(path) as log:
        assert log.cost == 0.75


def test_a_damaged_log_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(b'{"event": "sent"}\n')
    with pytest.raises(StoreError, match=r"requests\.jsonl:1: not a line"):
        RequestLog(path)


def test_a_folder_with_answers_to_other_questions_is_refused(tmp_path: Path) -> None:
    with unruly() as server:
        run(small(tmp_path, server.url), tmp_path / "out")
        with pytest.raises(StudyError, match="answers to other questions"):
            run(small(tmp_path, server.url, seed=1), tmp_path / "out")


def test_a_larger_size_asks_only_for_what_is_more(tmp_path: Path) -> None:
    with unruly() as server:
        small_one = run(small(tmp_path, server.url), tmp_path / "out")
        larger = run(small(tmp_path, server.url, size=20), tmp_path / "out")
    assert larger.kept[:12] == small_one.kept
    assert set(server.answered.values()) == {1}
