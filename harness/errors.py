"""The errors that a user can cause, as one small hierarchy.

Owns the exception classes that the command line turns into one message and an exit code. A
`HarnessError` is a user's mistake or a fault of the surroundings, never a bug of ours: it says what
was seen, what is allowed, and what to do about it. Bugs stay ordinary exceptions with a traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HarnessError(Exception):
    """A fault that the user can mend.

    Args:
        message: What is wrong, with the value that was seen.
        cure: What to do about it; a command where there is one.
    """

    exit_code = 2
    """Of the command that it ends."""

    def __init__(self, message: str, *, cure: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.message}\n  {self.cure}" if self.cure else self.message

    def __reduce__(self) -> tuple[object, ...]:
        # Ray sends exceptions between processes by pickle, which would drop the keyword.
        return (_rebuild, (type(self), self.message, self.cure))


class StudyError(HarnessError):
    """A study file that does not say what it should."""


class DataError(HarnessError):
    """Training or evaluation data that is missing, damaged or not what it was said to be."""


class AbsentDataError(DataError):
    """Data that is not there yet, or of which a part is not: once it is brought, nothing is wrong."""


class ProbeError(HarnessError):
    """A model that fails a check which guards against silently wrong numbers."""


class StoreError(HarnessError):
    """An artifact store that cannot be read or written as it should."""


class RecordError(HarnessError):
    """Records that contradict each other or cannot be read."""


class NonFiniteError(HarnessError):
    """A loss or a gradient that is not a finite number."""


class MemoryLimitError(HarnessError):
    """Memory that does not suffice, of a device or of the machine, whatever was tried."""


def _rebuild(kind: type[HarnessError], message: str, cure: str) -> HarnessError:
    return kind(message, cure=cure)


def did_you_mean(seen: str, allowed: Iterable[str]) -> str:
    """Return `" Did you mean 'x'?"` for the closest allowed name, or an empty string."""
    names = {name.lower(): name for name in allowed}
    close = difflib.get_close_matches(seen.lower(), names, n=1, cutoff=0.6)
    return f" Did you mean {names[close[0]]!r}?" if close else ""
