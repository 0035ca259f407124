"""The signs of life of everything that this process holds, given by one thread.

Owns `Pulse`. The rule: nothing is touched any more once it has been taken off, so that who comes after
is not mistaken for it.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable


class Pulse:
    """Calls functions again and again.

    Args:
        seconds: Between two calls.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._beats: set[Callable[[], None]] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._go_on, daemon=True, name="pulse").start()

    def add(self, beat: Callable[[], None]) -> None:
        """Call a function from now on; it must raise nothing."""
        with self._lock:
            self._beats.add(beat)

    def remove(self, beat: Callable[[], None]) -> None:
        """Call a function no more; when this returns no call of it is under way."""
        with self._lock:
            self._beats.discard(beat)

    def _go_on(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(self._seconds)
            with self._lock:
                for beat in self._beats:
                    beat()


def pulse(seconds: float) -> Pulse:
    """Return this process' pulse; a forked process, which starts without threads, gets its own."""
    return _pulse(os.getpid(), seconds)


@functools.cache
def _pulse(process: int, seconds: float) -> Pulse:  # noqa: ARG001
    return Pulse(seconds)
