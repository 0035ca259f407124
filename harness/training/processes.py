"""Processes that work on one thing together, and end together.

Owns their starting, their end and what they say. The rule: the first rank that fails ends all, and its
own error is the error of the whole; none outlives the process that started them, however that ends.
Standard library only: what the ranks do is given, how they exchange tensors is `distributed`'s affair.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import pickle
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Literal, Protocol

from harness.errors import HarnessError, MemoryLimitError

_END_SECONDS = 10.0

Message = tuple[Literal["line", "text", "error", "done"], Any]


class Work(Protocol):
    """What each rank does; it is pickled, so it is a module's function, perhaps a partial one."""

    def __call__(self, *, rank: int, report: Callable[[str], None]) -> None:
        """Do the part of a rank; lines for people count from the first rank alone."""


def run_ranks(work: Work, *, num_ranks: int, report: Callable[[str], None]) -> None:
    """Run `work` in as many fresh processes, and wait for all of them.

    Args:
        work: What each does.
        num_ranks: Number of processes.
        report: Takes the first rank's lines for people.

    Raises:
        HarnessError: A rank's own, or when a rank's process died.
        Exception: What else a rank raised, with its traceback as a note.
    """
    context = multiprocessing.get_context("spawn")
    processes: list[SpawnProcess] = []
    ears: dict[Connection, int] = {}
    try:
        for rank in range(num_ranks):
            ear, mouth = context.Pipe(duplex=False)
            process = context.Process(target=_enter, args=(work, rank, mouth), name=f"rank {rank}")
            process.start()
            mouth.close()
            processes.append(process)
            ears[ear] = rank
        while ears:
            heard = wait(list(ears))
            for ear in [item for item in ears if item in heard]:
                if not _listen(ear, ears[ear], processes, report):
                    del ears[ear]
        # All is done and said: what a library still waits for at its end is of no interest.
        for process in processes:
            process.join(_END_SECONDS)
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.join(_END_SECONDS)


def _listen(
    ear: Connection, rank: int, processes: list[SpawnProcess], report: Callable[[str], None]
) -> bool:
    """Take a rank's next message; return whether there will be another."""
    try:
        kind, content = ear.recv()
    except (EOFError, ConnectionResetError):
        raise _died(rank, processes[rank], len(processes)) from None
    if kind == "error":
        error, told = content
        if not isinstance(error, HarnessError):
            error.add_note(f"in rank {rank} of {len(processes)}:\n{told}")
        raise error
    if kind == "line":
        report(content)
    elif kind == "text":
        sys.stderr.write(content)
    return bool(kind != "done")


def _died(rank: int, process: SpawnProcess, num_ranks: int) -> HarnessError:
    process.join(_END_SECONDS)
    code = process.exitcode
    cause = f"exit code {code}"
    if code is not None and code < 0:
        cause = signal.Signals(-code).name
    kind = HarnessError
    cure = "The step's log tells how far it came; the same command goes on from the newest checkpoint."
    if code == -signal.SIGKILL:
        kind = MemoryLimitError
        cure = (
            "Perhaps the machine ran out of memory: set `resources.train.micro_batch` lower, or "
            "`resources.train.gradient_checkpointing: true`. " + cure
        )
    return kind(f"rank {rank} of {num_ranks} died ({cause})", cure=cure)


def _enter(work: Work, rank: int, mouth: Connection) -> None:
    """Be a rank."""
    # Ctrl-C reaches every process of a terminal; the one that started the ranks ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    # Whoever prints may be anybody, even an object on its way out while another message is being sent:
    # this queue's `put` may be interrupted by another `put`, where a lock would wait for itself.
    said: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
    send = said.put
    sender = threading.Thread(target=_send_all, args=(said, mouth), daemon=True)
    sender.start()

    def report(line: str) -> None:
        if rank == 0:
            send(("line", line))

    text = _Spoken(send, is_first=rank == 0)
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        try:
            work(rank=rank, report=report)
        except Exception as error:
            told = traceback.format_exc()
            send(("error", (_portable(error), told)))
            # The peers wait for this rank; gone, it would make them fail with less telling errors.
            threading.Event().wait()
        send(("done", None))
        said.put(None)
        sender.join()


def _send_all(said: queue.SimpleQueue[Message | None], mouth: Connection) -> None:
    """Send what a rank says in its order, until it says nothing more or cannot be sent."""
    # Whoever listens learns of a rank that fell silent by the end of its pipe.
    with mouth:
        for message in iter(said.get, None):
            mouth.send(message)


class _Spoken(io.TextIOBase):
    """What the first rank's libraries print, sent to the process that started the ranks."""

    def __init__(self, send: Callable[[Message], None], *, is_first: bool) -> None:
        self._send, self._is_first = send, is_first

    def write(self, text: str) -> int:
        # What one rank's libraries warn of, all do.
        if self._is_first:
            self._send(("text", text))
        return len(text)


def _end_with(sentinel: int) -> None:
    """End this process, at once, when the one that started it has ended."""
    wait([sentinel])
    os._exit(1)


def _portable(error: Exception) -> Exception:
    """Return an error that can be sent to another process."""
    bare = error.with_traceback(None)
    try:
        pickle.loads(pickle.dumps(bare))  # noqa: S301
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return bare
