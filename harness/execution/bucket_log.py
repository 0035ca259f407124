"""Lines that many machines append, in a bucket, where nothing can be appended to.

Owns `BucketLog`. The rule: each process writes objects of its own, a new one when the last is long, and
bears the time in each line; who reads puts all of them in order by it. Clocks that differ misplace a
line, which costs a message and never a result.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.execution.bucket import Bucket

_MOST_BYTES = 1 << 16
"""Of one object, which is written anew with each line."""
_STAMP = 20
"""Digits of a line's time, in nanoseconds."""


@dataclass(slots=True, kw_only=True)
class Segment:
    """The object that this process writes."""

    name: str = ""
    content: bytes = b""
    lock: threading.Lock = field(default_factory=threading.Lock)


class BucketLog:
    """Lines in one part of a bucket.

    Args:
        bucket: The part.
        segments: What this process writes, by part; shared by all logs of a bucket.
    """

    def __init__(self, bucket: Bucket, segments: dict[str, Segment]) -> None:
        self._bucket = bucket
        self._segment = segments.setdefault(bucket.describe(), Segment())

    def append(self, line: bytes) -> None:
        """Add a line, given without its end."""
        own = self._segment
        with own.lock:
            now = time.time_ns()
            if not own.name or len(own.content) > _MOST_BYTES:
                own.name, own.content = f"{now:0{_STAMP}d}-{secrets.token_hex(6)}", b""
            own.content += b"%020d %s\n" % (now, line)
            self._bucket.write(own.name, own.content)

    def lines(self) -> Iterable[bytes]:
        """Return the lines by their times, without their ends."""
        listing = self._bucket.listing()
        parts = self._bucket.read_listed(sorted(listing), listing)
        stamped = [line for part in parts.values() for line in part.splitlines()]
        return [line[_STAMP + 1 :] for line in sorted(stamped, key=lambda line: line[:_STAMP])]
