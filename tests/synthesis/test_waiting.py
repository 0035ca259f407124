"""Rates a minute and waits between attempts, on a clock of the test's own."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tenacity import RetryCallState, Retrying

from harness.synthesis.backend import AskError
from harness.synthesis.rates import RateLimiter
from harness.synthesis.waiting import WaitAsTold, retry_after


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += max(seconds, 1e-6)


@given(
    st.lists(st.integers(1, 400), min_size=1, max_size=40),
    st.integers(1, 10),
    st.integers(400, 2000),
)
def test_no_minute_has_more_requests_or_tokens_than_allowed(
    sizes: list[int], requests: int, tokens: int
) -> None:
    clock = _Clock()
    limiter = RateLimiter(requests=requests, tokens=tokens, clock=clock, wait=clock.wait)
    left = []
    for size in sizes:
        limiter.depart(size)
        left.append((clock.now, size))
    for start, _ in left:
        inside = [size for at, size in left if start <= at < start + 60 - 1e-3]
        assert len(inside) <= requests
        assert sum(inside) <= tokens


def test_a_counted_answer_makes_room_for_others() -> None:
    clock = _Clock()
    limiter = RateLimiter(requests=None, tokens=1000, clock=clock, wait=clock.wait)
    limiter.correct(limiter.depart(900), 100)
    limiter.depart(900)
    assert clock.now == 0
    limiter.depart(900)
    assert clock.now == pytest.approx(60)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after": "Sun, 22 Nov 2026 10:00:30 GMT"}, 30.0),
        ({"retry-after": "Sun, 22 Nov 2026 09:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
    ],
)
def test_a_servers_wish_is_read(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now=datetime(2026, 11, 22, 10, tzinfo=UTC)) == seconds


def _wait(error: Exception, *, attempt: int) -> float:
    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = attempt
    state.set_exception((type(error), error, None))
    return WaitAsTold(60.0)(state)


def test_a_server_is_given_the_time_it_asks_for_within_reason() -> None:
    assert _wait(AskError("busy", again=True, wait_seconds=90), attempt=1) == 90
    assert _wait(AskError("busy", again=True, wait_seconds=86_400), attempt=1) == 600
    assert _wait(AskError("busy", again=True), attempt=1) <= 1
    assert _wait(AskError("busy", again=True), attempt=20) <= 60
