"""Of whom nothing was heard for long, for people.

Owns `Silent`. The rule: it is a display and nothing else. It compares the time on a lease, which
its holder moves every few seconds, with the clock of whoever looks, and two machines' clocks may differ;
what is taken over is decided by `watching`, which reads no such time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from harness.execution.leases import Held
from harness.execution.watching import EXPIRY_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    """A process that holds something, and whose counters stand still."""

    where: str
    """Host and process."""
    since: datetime
    """When the last of its counters moved, by the time on its lease."""
    holds: tuple[str, ...]
    """Names of what it holds."""


def silent_holders(held: Iterable[tuple[str, Held]], *, now: datetime) -> tuple[Silent, ...]:
    """Return the holders whose counters stand still, those of whom nothing was heard for longest first.

    Args:
        held: Name and lease of what is held.
        now: The time of whoever looks.
    """
    names: dict[str, list[str]] = {}
    last: dict[str, datetime] = {}
    for name, lease in held:
        where, heard = lease.describe(), datetime.fromtimestamp(lease.moved, UTC)
        names.setdefault(where, []).append(name)
        last[where] = max(last.get(where, heard), heard)
    found = [
        Silent(where=where, since=since, holds=tuple(names[where]))
        for where, since in last.items()
        if now - since > timedelta(seconds=EXPIRY_SECONDS)
    ]
    return tuple(sorted(found, key=lambda one: (one.since, one.where)))


def as_values(silent: Silent, *, now: datetime) -> Mapping[str, object]:
    """Return it as plain values."""
    return {
        "where": silent.where,
        "since": silent.since.isoformat(timespec="seconds"),
        "seconds": round((now - silent.since).total_seconds()),
        "holds": list(silent.holds),
    }
