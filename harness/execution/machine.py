"""What this machine knows of its processes.

Owns how a process is told from a later one with the same number. The rule: a process is called gone
only where its number means something here: same machine, same boot, same process namespace.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

_PROC = Path("/proc")


@functools.cache
def this_place() -> str:
    """Return what process numbers are relative to: machine, its boot and the process namespace."""
    parts = [os.uname().nodename]
    try:
        parts.append((_PROC / "sys/kernel/random/boot_id").read_text().strip())
        parts.append(str((_PROC / "self/ns/pid").readlink()))
    except OSError:
        parts.append("unknown")
    return " ".join(parts)


def process_start(pid: int | None = None) -> str:
    """Return when a process started, in the machine's ticks since its boot.

    Args:
        pid: The process; this one when None.

    Returns:
        Empty if there is no such process, it has ended, or the system does not say.
    """
    try:
        text = (_PROC / (str(pid) if pid is not None else "self") / "stat").read_text()
    except OSError:
        return ""
    # The name, in parentheses, may hold anything; what follows it is state, parent, ...
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]


def is_gone(place: str, pid: int, started: str) -> bool:
    """Return whether a process is known to have ended; False where nobody here can tell.

    Args:
        place: Its `this_place`.
        pid: Its number.
        started: Its `process_start`.
    """
    if place != this_place():
        return False
    if started:
        return process_start(pid) != started
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
