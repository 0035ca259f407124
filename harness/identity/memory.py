"""What the machine says of its memory: how much a process may have, and how much it had.

Owns facts that messages tell and budgets are compared with; none of them decides a result. Standard
library only, so that whoever watches a process need not load what it runs.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes of `ru_maxrss`' unit."""
_CGROUP = Path("/sys/fs/cgroup")
_VMSTAT = Path("/proc/vmstat")


def memory_limit_bytes() -> int:
    """Return the memory that a process here may have: the machine's, or its container's if less."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            text = (_CGROUP / name).read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            limits.append(int(text))
    return min(limits)


def peak_memory_bytes() -> int:
    """Return the most memory that this process has had at once."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT


def num_memory_kills() -> int | None:
    """Return how many processes the system has killed for want of memory; None if it does not say."""
    try:
        lines = _VMSTAT.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)
