"""Steps that run elsewhere, as one driver sees them.

Owns `Watch`, the memory of whose counter was seen where. The rule: a holder is given up only after its
counter stood still for a time measured by this process' own clock, which never goes back; no time that
another machine wrote is ever read.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from harness.execution.leases import Leases

EXPIRY_SECONDS = 60.0
"""Many beats long, and longer than an NFS client may keep what it knows of a file."""


class Watch:
    """What a driver saw of others' leases.

    Args:
        leases: The store's.
        expiry_seconds: How long a counter may stand still.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        leases: Leases,
        *,
        expiry_seconds: float = EXPIRY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leases = leases
        self._expiry_seconds = expiry_seconds
        self._clock = clock
        self._seen: dict[str, tuple[bytes, float]] = {}

    def look(self, name: str) -> Literal["free", "held", "expired"]:
        """Return how a step's lease stands: nobody's, a living holder's, or one to be taken over."""
        held = self._leases.held(name)
        if held is None or held.is_dead:
            self._seen.pop(name, None)
            return "free"
        now = self._clock()
        beat, since = self._seen.get(name, (b"", now))
        if beat != held.beat:
            self._seen[name] = (held.beat, now)
            return "held"
        return "expired" if now - since >= self._expiry_seconds else "held"

    def expired(self, name: str) -> bytes | None:
        """Return the beat at which a step's holder was given up; None if it was not."""
        beat, since = self._seen.get(name, (b"", self._clock()))
        return beat if beat and self._clock() - since >= self._expiry_seconds else None
