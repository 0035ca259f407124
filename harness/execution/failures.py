"""Why a step failed, as a kind that decides what happens next.

Owns `Failure` and the reading of errors and exit codes. The rule: a kind says whether trying again can
help (the machine went away, memory or disk ran out) or not (the same again would give the same), and a
signature is alike for what is one fault in many steps: it holds no numbers, paths or fingerprints.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import traceback
from dataclasses import dataclass
from typing import Literal, get_args

from harness.errors import AbsentDataError, DataError, HarnessError, MemoryLimitError, NonFiniteError
from harness.execution.shortage import memory_use, settings_to_turn

FailureKind = Literal[
    "cuda-oom", "host-oom", "preempted", "non-finite", "disk", "missing", "data", "error"
]
FAILURE_KINDS: tuple[FailureKind, ...] = get_args(FailureKind)

_FULL = {errno.ENOSPC, errno.EDQUOT}
_GOES_ON = "it goes on from its newest checkpoint"
_VARYING = re.compile(r"(?:/[^\s:'\"]+)+|\b[0-9a-f]{8,}\b|\d+(?:\.\d+)?(?:e[+-]?\d+)?")


class PreemptedError(BaseException):
    """The machine wants its processor or device back. Not an `Exception`: no library is to catch it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a step failed."""

    kind: FailureKind
    message: str
    signature: str
    """Alike for the same fault in other steps."""


def describe_error(error: BaseException, *, stage: str = "") -> Failure:
    """Return what an error that a step of a stage raised means for it."""
    message, kind = _message(error), _kind(error)
    signature = _signature(error, message)
    if kind in {"cuda-oom", "host-oom"}:
        what, _, cure = message.strip().partition("\n")
        use = f" ({memory_use()})" if kind == "host-oom" else ""
        message = f"{what.rstrip(': ')}{use}\n{cure or f'  {settings_to_turn(stage)}'}"
    return Failure(kind=kind, message=message, signature=signature)


def describe_exit(
    code: int, *, stage: str, num_kills: int | None, peak_bytes: int, limit_bytes: int
) -> Failure:
    """Return what the sudden end of a step's process means.

    Args:
        code: Its exit code; negative for a signal.
        stage: The step's.
        num_kills: Processes that the system killed for want of memory meanwhile; None if it keeps no
            count.
        peak_bytes: The most memory that the process had.
        limit_bytes: The memory that there is.
    """
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    memory = memory_use(peak_bytes, limit_bytes)
    if code == -signal.SIGKILL and num_kills != 0:
        return lack_of_memory(f"the step's process was killed ({name}, {memory})", stage=stage)
    if code in {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP}:
        return preemption(f"the step's process was ended from outside ({name})")
    message = f"the step's process died ({name}, {memory}); its log tells how far it came"
    return Failure(kind="error", message=message, signature=f"died: {name}")


def preemption(what: str) -> Failure:
    """Return the failure of a step whose machine or process was taken away."""
    return Failure(kind="preempted", message=f"{what}; {_GOES_ON}", signature="preempted")


def lack_of_memory(what: str, *, stage: str) -> Failure:
    """Return the failure of a step that the system ended since the machine's memory ran out."""
    message = f"memory ran out: {what}\n  {settings_to_turn(stage)}"
    return Failure(kind="host-oom", message=message, signature="host-oom")


def _kind(error: BaseException) -> FailureKind:
    if isinstance(error, PreemptedError):
        return "preempted"
    for cause in _chain(error):
        if isinstance(cause, NonFiniteError):
            return "non-finite"
        # Told by name: who classifies need not load torch.
        if any(kind.__name__ == "OutOfMemoryError" for kind in type(cause).__mro__):
            return "cuda-oom"
        if isinstance(cause, MemoryError) or "can't allocate memory" in str(cause):
            return "host-oom"
        if isinstance(cause, OSError) and cause.errno in _FULL:
            return "disk"
    if isinstance(error, MemoryLimitError):
        return "host-oom"
    if isinstance(error, AbsentDataError):
        return "missing"
    return "data" if isinstance(error, DataError) else "error"


def _chain(error: BaseException) -> list[BaseException]:
    """Return an error and what it was raised from."""
    found = [error]
    for each in found:
        if each.__cause__ is not None and each.__cause__ not in found:
            found.append(each.__cause__)
    return found


def _message(error: BaseException) -> str:
    if isinstance(error, PreemptedError):
        return f"ended from outside; {_GOES_ON}"
    if isinstance(error, HarnessError):
        return str(error)
    if isinstance(error, OSError) and error.errno is not None:
        return f"{os.strerror(error.errno)}: {error.filename or ''}"
    return f"{type(error).__name__}: {error}"


def _signature(error: BaseException, message: str) -> str:
    """Return the error's type, the innermost of our functions that it passed, and its first line."""
    ours = [
        f"{frame.f_globals.get('__name__', '')}.{frame.f_code.co_name}"
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__", "")).startswith("harness.")
    ]
    first = message.splitlines()[0] if message else ""
    where = f" in {ours[-1]}" if ours else ""
    return f"{type(error).__name__}{where}: {_VARYING.sub('#', first)}"
