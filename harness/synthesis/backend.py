"""What a source of answers is, whatever answers.

Owns the protocol and the faults that callers tell apart. The rule: a fault says whether the same request
may do better later, and whether the work may have been done and charged although no answer came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from harness.synthesis.messages import Reply, Request


class AskError(Exception):
    """An attempt that brought no answer.

    Args:
        message: What happened, without any secret.
        again: Whether the same request may do better later.
        maybe_charged: Whether the work may have been done all the same.
        wait_seconds: How long the server asks to wait; None where it says nothing.
    """

    def __init__(
        self,
        message: str,
        *,
        again: bool,
        maybe_charged: bool = False,
        wait_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.again = again
        self.maybe_charged = maybe_charged
        self.wait_seconds = wait_seconds


class Backend(Protocol):
    """A model that answers."""

    batch: int
    """Requests that are best answered at once."""

    def ask(self, requests: Sequence[Request]) -> list[Reply]:
        """Answer up to `batch` requests, in their order.

        Raises:
            AskError: If there is no answer; for a batch of more than one, for none of them.
            HarnessError: If no request can ever be answered (a wrong key, a model that is not there).
        """
        ...

    def describe(self) -> Mapping[str, str]:
        """Return what the provenance says of it: kind of host, way of structuring, versions."""
        ...
