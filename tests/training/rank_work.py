"""What ranks do in tests: at the top of a module, where a fresh process finds it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from harness.errors import DataError


def speak(*, rank: int, report: Callable[[str], None]) -> None:
    report(f"rank {rank} reports")
    sys.stdout.write(f"rank {rank} prints\n")


_printed = threading.Event()


class Talkative(str):
    """Prints while it is sent, as what a library leaves behind may at any time."""

    __slots__ = ()

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        sys.stdout.write("printed meanwhile\n")
        _printed.set()
        return str, (str(self),)


def speak_while_speaking(*, rank: int, report: Callable[[str], None]) -> None:
    report(Talkative("reported"))
    if rank == 0:
        _printed.wait()


def never_leave(*, rank: int, report: Callable[[str], None]) -> None:
    report("done")
    threading.Thread(target=threading.Event().wait).start()


def refuse_second(*, rank: int, report: Callable[[str], None]) -> None:
    if rank == 1:
        raise DataError("the second rank's pair 7 is empty", cure="Remove it.")
    # A rank that waits for one that failed.
    signal.pause()


def stumble(*, rank: int, report: Callable[[str], None]) -> None:
    report("before")
    raise ZeroDivisionError(f"in rank {rank}")


class UnsendableError(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def raise_unsendable(*, rank: int, report: Callable[[str], None]) -> None:
    raise UnsendableError(1, 2)


def die_second(*, rank: int, report: Callable[[str], None]) -> None:
    if rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


def leave_second(*, rank: int, report: Callable[[str], None]) -> None:
    if rank == 1:
        os._exit(3)
    signal.pause()


def wait_for_ever(folder: Path, *, rank: int, report: Callable[[str], None]) -> None:
    (folder / f"{rank}.aside").write_text(str(os.getpid()))
    (folder / f"{rank}.aside").rename(folder / f"{rank}.pid")
    signal.pause()


def main() -> None:
    """Start two ranks that wait for ever, in a process that a test kills."""
    from functools import partial

    from harness.training.processes import run_ranks

    run_ranks(partial(wait_for_ever, Path(sys.argv[1])), num_ranks=2, report=print)


if __name__ == "__main__":
    main()
