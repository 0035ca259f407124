"""Who may run a step now: leases that hold on whatever several machines share.

Owns what a lease means; how one is kept on a folder or in a bucket is for `marks`. The rule: a lease is
made by one atomic creation, which also holds where file locks do not (NFS, Lustre, S3); its holder moves
a counter in it, and who watches a counter stand still for long enough, by a clock of their own that
never goes back, may take over with the next generation. The highest generation holds; whoever lost
theirs publishes nothing. A holder on this machine whose process is gone is replaced at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.errors import StoreError
from harness.execution.machine import is_gone, process_start, this_place
from harness.execution.marks import FolderMarks, Mark, Marks
from harness.execution.pulse import pulse

BEAT_SECONDS = 5.0


class LeaseLostError(StoreError):
    """The step was taken over by another process, which took this one for dead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Whose lease it is."""

    place: str
    """Machine, its boot and its process namespace: where `pid` means something."""
    host: str
    pid: int
    started: str
    """When the process started, in the machine's own terms; process numbers are given out again."""
    token: str
    """Random, of this lease alone."""

    def describe(self) -> str:
        """Return who it is, for people."""
        return f"{self.host}, process {self.pid}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A lease as it is seen from outside."""

    name: str
    generation: int
    holder: Holder | None
    """None while it is being written, or if it is damaged."""
    beat: bytes
    """Changes as long as the holder lives; compared with itself alone, never with a clock."""
    moved: float
    """When it changed last, in seconds since 1970 by the medium's clock: for people alone."""

    @property
    def is_dead(self) -> bool:
        """Whether the holder is known to be gone: a process of this machine that is not there."""
        holder = self.holder
        return holder is not None and is_gone(holder.place, holder.pid, holder.started)

    def describe(self) -> str:
        """Return who holds it, for people."""
        return self.holder.describe() if self.holder is not None else "an unknown process"


class Leases:
    """The leases of a store.

    Args:
        marks: Where they are; the folder of their files, or another medium.
        beat_seconds: Between two moves of a holder's counter.
    """

    def __init__(self, marks: Path | Marks, *, beat_seconds: float = BEAT_SECONDS) -> None:
        self._marks: Marks = FolderMarks(marks) if isinstance(marks, Path) else marks
        self._beat_seconds = beat_seconds

    def acquire(self, name: str, *, expired: bytes | None = None) -> Lease | None:
        """Take the lease of a step if it is free, its holder is known to be dead, or it expired.

        Args:
            name: Fingerprint of the step.
            expired: The beat at which its holder's counter stood still for too long, if one watched it.

        Returns:
            The lease, its counter moving; None if somebody else holds it.
        """
        current = self.held(name)
        if current is not None and not current.is_dead and current.beat != expired:
            return None
        lease = self._create(name, current.generation + 1 if current else 1)
        if lease is None:
            return None
        if current is not None and not self._marks.has(name, current.generation):
            # Between looking and taking, another took over, ended and let go: look again.
            lease.release()
            return None
        if current is not None:
            self.remove(current)
        return lease

    def held(self, name: str) -> Held | None:
        """Return the lease of a step as it is now, also if its holder is dead."""
        mark = self._marks.find(name)
        return None if mark is None else _held(name, mark)

    def living(self) -> dict[str, Held]:
        """Return step -> lease, of all leases whose holder is not known to be dead."""
        return {name: held for name, held in self.all().items() if not held.is_dead}

    def all(self) -> dict[str, Held]:
        """Return step -> lease, also of holders that are dead."""
        return {name: _held(name, mark) for name, mark in self._marks.all().items()}

    def remove(self, held: Held) -> None:
        """Take away a lease whose holder was given up."""
        self._marks.remove(held.name, held.generation)

    def _create(self, name: str, generation: int) -> Lease | None:
        token = secrets.token_hex(8)
        place = this_place()
        holder = Holder(
            place=place, host=os.uname().nodename, pid=os.getpid(), started=process_start(), token=token
        )
        if not self._marks.create(name, generation, json.dumps(asdict(holder)).encode()):
            return None
        return Lease(self._marks, name, generation, token=token, beat_seconds=self._beat_seconds)


class Lease:
    """A lease that this process holds. A context manager, which lets go of it at the end."""

    def __init__(
        self, marks: Marks, name: str, generation: int, *, token: str, beat_seconds: float
    ) -> None:
        self.token = token
        self._marks = marks
        self._name = name
        self._generation = generation
        self._count = 0
        self._is_lost = False
        self._pulse = pulse(beat_seconds)
        self._pulse.add(self._beat)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def check(self) -> None:
        """Make sure that the lease is still held.

        Raises:
            LeaseLostError: If another process has taken over.
        """
        if self._is_lost or self._marks.newest(self._name) != self._generation:
            raise LeaseLostError(
                "another process took this step over, since no sign of life of this one was seen",
                cure="its result will be used",
            )

    @property
    def is_lost(self) -> bool:
        """Whether the last beat found the lease taken over."""
        return self._is_lost

    def release(self) -> None:
        """Let go of the lease; a successor's is left alone."""
        self._pulse.remove(self._beat)
        self._marks.remove(self._name, self._generation)

    def _beat(self) -> None:
        self._count += 1
        try:
            self._marks.move(self._name, self._generation, self._count)
        except FileNotFoundError:
            self._is_lost = True
        except (OSError, StoreError):
            # It cannot be told now; the next beat may. Whoever took over meanwhile is found by `check`.
            return


def _held(name: str, mark: Mark) -> Held:
    holder = None
    with contextlib.suppress(ValueError, TypeError):
        holder = Holder(**json.loads(mark.head))
    return Held(name=name, generation=mark.generation, holder=holder, beat=mark.beat, moved=mark.moved)
