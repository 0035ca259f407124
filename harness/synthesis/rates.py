"""Limits of requests and tokens a minute.

Owns the waiting before a request leaves. The rule: in no stretch of sixty seconds do more requests or
more tokens leave than allowed; tokens count by forecast when a request leaves and are corrected by its
answer.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

_MINUTE = 60.0


@dataclass(slots=True)
class _Departure:
    at: float
    tokens: int


class RateLimiter:
    """A gate that threads pass before they ask.

    Args:
        requests: Requests a minute; no limit when None.
        tokens: Tokens a minute; no limit when None. A single request with more passes alone.
        clock: Seconds, never going back.
        wait: Waits for some seconds.
    """

    def __init__(
        self,
        *,
        requests: int | None,
        tokens: int | None,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._requests = requests
        self._tokens = tokens
        self._clock = clock
        self._wait = wait
        self._lock = threading.Lock()
        self._departures: deque[_Departure] = deque()

    def depart(self, tokens: int) -> _Departure:
        """Wait until a request of about so many tokens may leave; return what `correct` takes."""
        while True:
            with self._lock:
                now = self._clock()
                seconds = self._seconds(now, tokens)
                if seconds <= 0:
                    departure = _Departure(now, tokens)
                    self._departures.append(departure)
                    return departure
            self._wait(seconds)

    def correct(self, departure: _Departure, tokens: int) -> None:
        """Replace the forecast of a departure by what was counted."""
        with self._lock:
            departure.tokens = tokens

    def _seconds(self, now: float, tokens: int) -> float:
        """Return how long to wait, zero when the request may leave; forgets departures of the past."""
        while self._departures and now - self._departures[0].at >= _MINUTE:
            self._departures.popleft()
        waiting = 0.0
        if self._requests is not None and len(self._departures) >= self._requests:
            waiting = self._departures[-self._requests].at + _MINUTE - now
        if self._tokens is not None:
            over = sum(departure.tokens for departure in self._departures) + tokens - self._tokens
            for departure in self._departures:
                if over <= 0:
                    break
                over -= departure.tokens
                waiting = max(waiting, departure.at + _MINUTE - now)
        return waiting
