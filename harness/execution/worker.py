"""The process that runs steps: what `python -m harness.execution.worker` does.

Owns both halves of a worker. The first thing it does is to split: one half runs steps in a process
group of its own, and everything that they start is in that group; the other half does nothing but
watch. The rule: when the step's half ends, or whoever started the worker is gone, the watching half
ends the whole group, and without a watching half the group ends itself, so that no process, and no
device memory, outlives its driver.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time

GRACE_SECONDS = 5.0
"""Between asking a group to end and ending it."""
END_AT_ONCE = b"K"


def main() -> None:
    """Be a worker. Arguments: the file numbers of the jobs' connection and of the life line."""
    jobs, life = (int(argument) for argument in sys.argv[1:3])
    woken, wakes = os.pipe()
    watched, watching = os.pipe()
    child = os.fork()
    if child == 0:
        for descriptor in (life, woken, wakes, watching):
            os.close(descriptor)
        _run_steps(jobs, watched)
        return
    # Both halves set it, so that neither acts before it is so.
    _make_group(child)
    os.close(jobs)
    os.close(watched)
    _watch(child, life, woken, wakes)


def _make_group(child: int) -> None:
    try:
        os.setpgid(child, child)
    except (PermissionError, ProcessLookupError):
        # It has done so itself, or is gone already.
        return


def _run_steps(jobs: int, watched: int) -> None:
    """Be the half that works."""
    os.setpgid(0, 0)
    threading.Thread(target=_end_unwatched, args=(watched,), daemon=True, name="watched").start()
    # The watching half writes its last words there; everything else that is printed goes to the logs.
    os.dup2(2, 1)
    from harness.execution.worker_loop import serve

    serve(jobs)


def _end_unwatched(watched: int) -> None:
    """End this half with its group when the other one is gone: Ray kills what it takes for leftovers."""
    os.read(watched, 1)
    os.killpg(0, signal.SIGKILL)


def _watch(child: int, life: int, woken: int, wakes: int) -> None:
    """Be the half that watches, and end as the other half ended."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    os.set_blocking(wakes, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    deadline: float | None = None
    watched = [life, woken]
    while True:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if ended:
            break
        if deadline is not None and time.monotonic() >= deadline:
            _signal_group(child, signal.SIGKILL)
            deadline = None
        seconds = None if deadline is None else max(0.0, deadline - time.monotonic())
        readable, _, _ = select.select(watched, [], [], seconds)
        if woken in readable:
            os.read(woken, 512)
        if life in readable:
            watched = [woken]
            deadline = _ask_to_end(child, at_once=os.read(life, 1) == END_AT_ONCE)
    _signal_group(child, signal.SIGKILL)
    os.write(1, str(usage.ru_maxrss).encode())
    _end_like(os.waitstatus_to_exitcode(status))


def _ask_to_end(child: int, *, at_once: bool) -> float:
    """Tell the group to end; return when to stop waiting for it."""
    _signal_group(child, signal.SIGKILL if at_once else signal.SIGTERM)
    return time.monotonic() + GRACE_SECONDS


def _signal_group(child: int, number: int) -> None:
    try:
        os.killpg(child, number)
    except (ProcessLookupError, PermissionError):
        return


def _end_like(code: int) -> None:
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
        os.kill(os.getpid(), -code)
    os._exit(max(code, 0))


if __name__ == "__main__":
    main()
