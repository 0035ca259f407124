"""A session that others on the store see and may ask to end.

Owns `OverseenSession`, for drivers that think of their plans one by one. The rule: what it runs is in
its run's description and in its study's note before long, so that status, logs, cancel and gc know it;
once it is asked to end as a whole, its driver learns of it by an error, as if killed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from harness.errors import HarnessError
from harness.execution.backends import Backend
from harness.execution.ends import Ended
from harness.execution.oversight import Oversight
from harness.execution.session import Session
from harness.execution.store import ArtifactStore
from harness.plan import Plan
from harness.study.queueing import QueuePolicy


class RunCancelledError(HarnessError):
    """Somebody asked this run to end."""

    exit_code = 1


class OverseenSession:
    """A session together with what it owes to others.

    Args:
        session: Runs the steps.
        oversight: Is shown the session again and again.
    """

    def __init__(self, session: Session, oversight: Oversight) -> None:
        self._session = session
        self._oversight = oversight

    def add(self, plan: Plan) -> None:
        """Take up the steps of a plan, as `Session.add`."""
        self._oversight.grow(plan)
        self._session.add(plan)

    def advance(self) -> list[Ended]:
        """Wait until something ends, and return what has ended since last time.

        Raises:
            RunCancelledError: If somebody asked for the end of all of it.
        """
        while True:
            news = self._session.advance(timeout=self._oversight.look_seconds)
            self._oversight.look(self._session)
            if self._oversight.is_cancelled:
                raise RunCancelledError(
                    "cancelled: what was finished is kept", cure="the same command goes on from there"
                )
            if news or self._session.is_idle:
                return news

    @property
    def ended(self) -> Mapping[str, Ended]:
        """Fingerprint -> end, of every step that has ended so far."""
        return self._session.ended

    @property
    def is_idle(self) -> bool:
        """Whether everything has ended and been told."""
        return self._session.is_idle


@contextlib.contextmanager
def overseen_session(
    store: ArtifactStore,
    open_backend: Callable[[], Backend],
    oversight: Oversight,
    *,
    mirrors: tuple[Path, ...] = (),
    policy: QueuePolicy | None = None,
) -> Iterator[OverseenSession]:
    """Open a session that others see as soon as it has a backend, and close it at the end."""

    def opened() -> Backend:
        backend = open_backend()
        oversight.begin(backend.room)
        return backend

    with oversight, Session(store, opened, mirrors=mirrors, policy=policy) as session:
        yield OverseenSession(session, oversight)
