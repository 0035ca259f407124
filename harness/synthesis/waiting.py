"""How long to wait before the same is asked again.

Owns the reading of `Retry-After` and the growing, jittered waits. The rule: a server's own word is
followed, up to ten times the longest wait of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from tenacity import RetryCallState, wait_random_exponential
from tenacity.wait import wait_base

from harness.synthesis.backend import AskError

_PATIENCE = 10


def retry_after(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """Return the seconds that a response asks to wait (RFC 9110, 10.2.3); None where it asks nothing.

    Args:
        headers: The response's headers, by names in any case.
        now: The time that a date is relative to.
    """
    text = headers.get("retry-after-ms")
    if text is not None:
        return _number(text, unit=1000)
    text = headers.get("retry-after")
    if text is None:
        return None
    seconds = _number(text, unit=1)
    if seconds is not None:
        return seconds
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())


def _number(text: str, *, unit: int) -> float | None:
    try:
        return max(0.0, float(text) / unit)
    except ValueError:
        return None


class WaitAsTold(wait_base):
    """Wait as long as the server says, else exponentially longer with jitter.

    Args:
        longest: Seconds of the longest wait of our own.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._own = wait_random_exponential(multiplier=1, max=longest)

    def __call__(self, retry_state: RetryCallState) -> float:
        """Return the seconds before the next attempt."""
        error = retry_state.outcome.exception() if retry_state.outcome else None
        if isinstance(error, AskError) and error.wait_seconds is not None:
            return min(error.wait_seconds, _PATIENCE * self._longest)
        return self._own(retry_state)
