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
from harness.execution.shortages import cure_of, device_memory, host_memory, peak_of_limit

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
    """Return what an error that a step raised means for it.

    Args:
        error: The error.
        stage: Of the step; decides which settings are named where memory ran out.
    """
    kind, message = _kind(error), _message(error)
    signature = _signature(error, message)
    if kind in {"cuda-oom", "host-oom"}:
        message = _with_memory(message, is_device=kind == "cuda-oom", stage=stage)
    return Failure(kind=kind, message=message, signature=signature)


def describe_exit(
    code: int, *, num_kills: int | None, peak_bytes: int, limit_bytes: int, stage: str = ""
) -> Failure:
    """Return what the sudden end of a step's process means.

    Args:
        code: Its exit code; negative for a signal.
        num_kills: Processes that the system killed for want of memory meanwhile; None if it keeps no
            count.
        peak_bytes: The most memory that the process had.
        limit_bytes: The memory that there is.
        stage: Of the step; decides which settings are named where memory ran out.
    """
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    memory = peak_of_limit(peak_bytes, limit_bytes)
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
    cure = cure_of(stage, is_device=False)
    return Failure(kind="host-oom", message=f"{what}: memory ran out\n  {cure}", signature="host-oom")


def _with_memory(message: str, *, is_device: bool, stage: str) -> str:
    """Return a message that tells peak, limit and cure, as far as it does not yet."""
    first, _, cure = message.partition("\n  ")
    if not first.startswith("memory ran out"):
        first = f"memory ran out: {first}"
    if "GiB of" not in first and (figures := device_memory() if is_device else host_memory()):
        first = f"{first} ({figures})"
    return f"{first}\n  {cure or cure_of(stage, is_device=is_device)}"


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
    return f"{type(error).__name__}: {error}".removesuffix(": ")


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
