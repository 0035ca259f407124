"""The journal: what happened to which step when, as lines that are only ever appended.

Owns the events, and the file that keeps them on a folder. The rule: it tells what happened; whether a
step is done is for the artifact store alone to say, so a lost or torn line costs a message and never a
result.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

from pydantic import ConfigDict, TypeAdapter, ValidationError

JOURNAL_NAME = "journal.jsonl"
"""Its name in the store."""

EventKind = Literal["started", "finished", "failed", "preempted", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened to one step."""

    __pydantic_config__ = ConfigDict(defer_build=True)

    kind: EventKind
    step: str
    """Fingerprint."""
    study: str
    time: str
    """UTC, ISO 8601."""
    message: str = ""
    failure: str = ""
    """Kind of failure, of `failures.FAILURE_KINDS`."""
    signature: str = ""
    """Alike for the same fault in other steps."""


_EVENT = TypeAdapter(Event)
_STEP = b'"step": "'
"""The first of its kind in a line is the step: nothing that people wrote stands before it."""


class Log(Protocol):
    """Lines that are only ever appended, by many processes."""

    def append(self, line: bytes) -> None:
        """Add a line, given without its end."""

    def lines(self) -> Iterable[bytes]:
        """Return the lines in their order, without their ends; torn ones may be among them."""


class FileLog:
    """Lines in a file.

    Args:
        path: The file; made with its folder when something is first written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, line: bytes) -> None:
        """Add a line. One write call a line, so that two drivers' lines do not mix."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            # A kill in mid-line leaves a torn end: start on a line of our own.
            torn = file.tell() > 0 and not self._ends_with_newline()
            file.write((b"\n" if torn else b"") + line + b"\n")

    def lines(self) -> Iterable[bytes]:
        """Return the lines in their order, without their ends; torn ones may be among them."""
        return self._path.read_bytes().splitlines() if self._path.exists() else []

    def _ends_with_newline(self) -> bool:
        with self._path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"


class Journal:
    """An append-only list of events.

    Args:
        log: Where they are kept: a file, or another medium's lines.
    """

    def __init__(self, log: Path | Log) -> None:
        self._log: Log = FileLog(log) if isinstance(log, Path) else log

    def append(
        self,
        kind: EventKind,
        *,
        step: str,
        study: str,
        message: str = "",
        failure: str = "",
        signature: str = "",
    ) -> None:
        """Add one event."""
        event = Event(
            kind=kind,
            step=step,
            study=study,
            time=utc_now(),
            message=message,
            failure=failure,
            signature=signature,
        )
        self._log.append(json.dumps(asdict(event), ensure_ascii=False).encode())

    def read(self) -> Iterator[Event]:
        """Yield the events in order, leaving out torn lines."""
        for line in self._log.lines():
            try:
                yield _EVENT.validate_json(line)
            except ValidationError:
                continue

    def latest(self) -> Mapping[str, Event]:
        """Return step -> its newest event; lines are read in full only when they are asked for."""
        lines: dict[str, list[bytes]] = {}
        for line in self._log.lines():
            start = line.find(_STEP) + len(_STEP)
            end = line.find(b'"', start)
            if len(_STEP) <= start < end:
                lines.setdefault(line[start:end].decode(errors="replace"), []).append(line)
        return _Newest(lines)


class _Newest(Mapping[str, Event]):
    """The newest whole line of each step."""

    def __init__(self, lines: Mapping[str, list[bytes]]) -> None:
        self._lines = lines

    def __getitem__(self, step: str) -> Event:
        for line in reversed(self._lines[step]):
            try:
                return _EVENT.validate_json(line)
            except ValidationError:
                continue
        raise KeyError(step)

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)


def utc_now() -> str:
    """Return the time in UTC as ISO 8601 text, to the second."""
    return datetime.now(UTC).replace(microsecond=0).isoformat()
