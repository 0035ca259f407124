"""Who may run a step now: leases that hold on any folder that several machines share.

Owns the files `leases/<step>.<generation>`. The rule: a lease is made by one atomic creation, which
also holds where file locks do not (NFS, Lustre); its holder moves a counter in it, and who watches a
counter stand still for long enough, by a clock of their own that never goes back, may take over with
the next generation. The highest generation holds; whoever lost theirs publishes nothing. A holder on
this machine whose process is gone is replaced at once.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.errors import StoreError
from harness.execution.machine import is_gone, process_start, this_place
from harness.execution.pulse import pulse

BEAT_SECONDS = 5.0
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


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

    generation: int
    path: Path
    holder: Holder | None
    """None while the file is being written, or if it is damaged."""
    beat: bytes
    """Changes as long as the holder lives; compared with itself alone, never with a clock."""

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
        folder: Where they are; made when one is first taken.
        beat_seconds: Between two moves of a holder's counter.
    """

    def __init__(self, folder: Path, *, beat_seconds: float = BEAT_SECONDS) -> None:
        self._folder = folder
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
        if current is not None and not current.path.exists():
            # Between looking and taking, another took over, ended and let go: look again.
            lease.release()
            return None
        if current is not None:
            current.path.unlink(missing_ok=True)
        return lease

    def held(self, name: str) -> Held | None:
        """Return the lease of a step as it is now, also if its holder is dead."""
        return self._read(self._generations().get(name))

    def living(self) -> dict[str, Held]:
        """Return step -> lease, of all leases whose holder is not known to be dead."""
        return {name: held for name, held in self.all().items() if not held.is_dead}

    def all(self) -> dict[str, Held]:
        """Return step -> lease, also of holders that are dead."""
        found = {name: self._read(path) for name, path in self._generations().items()}
        return {name: held for name, held in found.items() if held is not None}

    def _generations(self) -> dict[str, Path]:
        """Return step -> its file of the highest generation."""
        newest: dict[str, tuple[int, Path]] = {}
        with contextlib.suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            for entry in entries:
                name, _, generation = entry.name.rpartition(".")
                if name and generation.isdigit():
                    found = (int(generation), Path(entry.path))
                    newest[name] = max(newest.get(name, found), found)
        return {name: path for name, (_, path) in newest.items()}

    def _read(self, path: Path | None) -> Held | None:
        if path is None:
            return None
        try:
            # Opened anew each time: on NFS that is when others' writing is seen.
            with path.open("rb") as file:
                first, _, counter = file.read().partition(b"\n")
                touched = os.fstat(file.fileno()).st_mtime_ns
        except FileNotFoundError:
            return None
        holder = None
        with contextlib.suppress(ValueError, TypeError):
            holder = Holder(**json.loads(first))
        beat = first + counter + str(touched).encode()
        generation = int(path.name.rpartition(".")[2])
        return Held(generation=generation, path=path, holder=holder, beat=beat)

    def _create(self, name: str, generation: int) -> Lease | None:
        self._folder.mkdir(parents=True, exist_ok=True)
        token = secrets.token_hex(8)
        place = this_place()
        holder = Holder(
            place=place, host=os.uname().nodename, pid=os.getpid(), started=process_start(), token=token
        )
        path = self._folder / f"{name}.{generation}"
        head = json.dumps(asdict(holder)).encode() + b"\n"
        if not _create_whole(path, head + _counter(0), self._folder / f".{token}"):
            return None
        return Lease(path, token=token, offset=len(head), beat_seconds=self._beat_seconds)

    def newer(self, path: Path) -> bool:
        """Return whether a lease's file is gone or has a successor."""
        return self._generations().get(path.name.rpartition(".")[0]) != path


class Lease:
    """A lease that this process holds. A context manager, which lets go of it at the end."""

    def __init__(self, path: Path, *, token: str, offset: int, beat_seconds: float) -> None:
        self.token = token
        self._path = path
        self._offset = offset
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
        if self._is_lost or Leases(self._path.parent).newer(self._path):
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
        self._path.unlink(missing_ok=True)

    def _beat(self) -> None:
        self._count += 1
        try:
            self._move_counter()
        except FileNotFoundError:
            self._is_lost = True
        except OSError:
            # A full disk may refuse to write even in place; a time stamp takes no space.
            with contextlib.suppress(OSError):
                os.utime(self._path)

    def _move_counter(self) -> None:
        descriptor = os.open(self._path, os.O_WRONLY)
        try:
            os.pwrite(descriptor, _counter(self._count), self._offset)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _counter(count: int) -> bytes:
    return b"%020d\n" % count


def _create_whole(path: Path, content: bytes, scratch: Path) -> bool:
    """Create a file with its content in one step; return False if it is there already."""
    with _written(scratch, content):
        try:
            os.link(scratch, path)
        except FileExistsError:
            # The answer to a link that was made may be lost on the way; the count of names is not.
            return scratch.stat().st_nlink == 2
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return _create_exclusively(path, content)
    return True


def _create_exclusively(path: Path, content: bytes) -> bool:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return True


@contextlib.contextmanager
def _written(path: Path, content: bytes) -> Iterator[None]:
    path.write_bytes(content)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
