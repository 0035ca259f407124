"""The log of requests: what was sent, what came back, and what it cost.

Owns the file `requests.jsonl`. The rule: a line is on disk before the request leaves and another before
its answer is used, so that after a kill at any instant an answer that was received is never asked for
again, and money that may have been spent is counted as spent.

    {"event": "sent", "id": 7, "key": ..., "step": ..., "kind": ..., "index": ..., "reserved": ...}
    {"event": "reply", "id": 7, "key": ..., "text": ..., "cost": ..., ...}
    {"event": "failed", "id": 7, "key": ..., "reason": ..., "cost": ...}
    {"event": "lost", "id": 7, "key": ..., "cost": ...}      written when a later run finds `sent` alone
"""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from harness.errors import StoreError
from harness.synthesis.messages import Reply, Request

NAME = "requests.jsonl"
_REPLY_FIELDS = tuple(Reply.__dataclass_fields__)


class RequestLog:
    """An append-only file of requests and replies. Safe for threads; one process at a time.

    Args:
        path: The file; made with its folder.

    Raises:
        StoreError: If a line in the middle of the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._lock = threading.Lock()
        self._places: dict[str, int] = {}
        self._open: dict[int, tuple[str, float]] = {}
        self._next_id = 0
        self.cost = 0.0
        """Spent so far, with what may have been spent on requests that ended without an answer."""
        self.events: Counter[str] = Counter()
        """Event -> lines."""
        self.tokens: Counter[str] = Counter()
        """`input` and `output` -> tokens of the answers, as the server counted them."""
        self.served_by: Counter[str] = Counter()
        """Name under which the server answered -> answers."""
        end = self._read()
        self._file = path.open("r+b" if path.exists() else "w+b")
        self._file.truncate(end)
        self._file.seek(end)
        for number in sorted(self._open):
            key, reserved = self._open[number]
            self._append({"event": "lost", "id": number, "key": key, "cost": reserved})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def reply(self, key: str) -> Reply | None:
        """Return the answer on disk; None where there is none."""
        with self._lock:
            if key not in self._places:
                return None
            self._file.seek(self._places[key])
            row = json.loads(self._file.readline())
            self._file.seek(0, os.SEEK_END)
        return Reply(**{name: row[name] for name in _REPLY_FIELDS})

    def sent(self, request: Request, *, reserved: float) -> int:
        """Say that a request is about to leave and may cost so much; return the attempt's id."""
        with self._lock:
            number = self._next_id
            about = {
                "key": request.key,
                "step": request.step,
                "kind": request.kind,
                "index": request.index,
            }
            self._append({"event": "sent", "id": number, **about, "reserved": reserved})
        return number

    def replied(self, number: int, key: str, reply: Reply, *, cost: float) -> None:
        """Keep an answer."""
        with self._lock:
            self._append({"event": "reply", "id": number, "key": key, "cost": cost, **asdict(reply)})

    def failed(self, number: int, key: str, *, reason: str, cost: float) -> None:
        """Say that an attempt ended without an answer.

        Args:
            number: The attempt's id.
            key: The request's key.
            reason: What happened.
            cost: Zero where the server refused; the reserved sum where it may have done the work.
        """
        with self._lock:
            self._append({"event": "failed", "id": number, "key": key, "cost": cost, "reason": reason})

    def _append(self, row: dict[str, Any]) -> None:
        place = self._file.tell()
        self._file.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._count(row, place)

    def _count(self, row: dict[str, Any], place: int) -> None:
        event, number = row["event"], row["id"]
        self.events[event] += 1
        if event == "sent":
            self._open[number] = (row["key"], row["reserved"])
            self._next_id = number + 1
            return
        self._open.pop(number, None)
        self.cost += row["cost"]
        if event == "reply":
            self._places[row["key"]] = place
            self.tokens["input"] += row["input_tokens"] or 0
            self.tokens["output"] += row["output_tokens"] or 0
            # llama.cpp calls a model by its path.
            self.served_by[row["served_by"].replace("\\", "/").rsplit("/", 1)[-1]] += 1

    def _read(self) -> int:
        """Take in what is on disk; return where the whole lines end."""
        place = 0
        for number, line in enumerate(self._lines(), 1):
            if not line.endswith(b"\n"):
                break
            try:
                self._count(json.loads(line), place)
            except (ValueError, KeyError, TypeError) as error:
                raise StoreError(
                    f"{self._path}:{number}: not a line of the request log ({error!r})",
                    cure="the file is damaged: take it from a backup, or begin in another folder",
                ) from error
            place += len(line)
        return place

    def _lines(self) -> Iterator[bytes]:
        if self._path.exists():
            with self._path.open("rb") as file:
                yield from file
