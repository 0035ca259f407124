"""How steps of a session ended, and who is told.

Owns `Ended` and its recorder. The rule: every step of every plan has one end, told once; a step that
is taken up again has none until it ends again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from harness.execution.failures import Failure
from harness.execution.queue import Queue
from harness.plan import Step

Progress = Callable[[str, Step, str], None]
"""Called with an event, its step and a message. Events: a state of `Ended`, or `started`, `elsewhere`
(another process runs it), `retried` (it failed and will be tried again), `paused` (nothing starts, for
the reason given), `rebuilt` (its artifact is damaged and is made anew)."""

EndState = Literal["done", "reused", "failed", "skipped", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a step of the session came to its end."""

    step: Step
    state: EndState
    """`done`: it ran here. `reused`: its artifact was there, or was made elsewhere meanwhile. `skipped`:
    a step that it needs failed, or too many steps like it failed alike."""
    message: str = ""
    """Why, for all but `done`."""
    cause: str = ""
    """Fingerprint of the failed step behind a skipped one."""
    is_given_up: bool = False
    """Whether a skipped step was not tried for being like others that failed."""
    seconds: float = 0.0
    failure: Failure | None = None
    """Of a failed step."""


class Ends:
    """The ends so far.

    Args:
        progress: Told of every event.
        queue: Knows the steps.
    """

    def __init__(self, progress: Progress, queue: Queue) -> None:
        self.of: dict[str, Ended] = {}
        """Fingerprint -> end."""
        self._news: list[Ended] = []
        self.progress = progress
        self._queue = queue

    def tell(self, ended: Ended) -> None:
        """A step has ended."""
        self.of[ended.step.fingerprint] = ended
        self._news.append(ended)
        self.progress(ended.state, ended.step, ended.message)

    def tell_step(self, name: str, state: EndState, message: str, **more: Any) -> None:
        """A step has ended, by its fingerprint."""
        self.tell(Ended(step=self._queue.steps[name], state=state, message=message, **more))

    def tell_skipped(self, names: Iterable[str]) -> None:
        """Steps cannot run, since one that they need has failed."""
        for name in names:
            cause = self._queue.cause(name)
            needs = f"needs {self._queue.steps[cause].name}"
            self.tell_step(name, "skipped", needs, cause=cause)

    @property
    def has_news(self) -> bool:
        """Whether there are ends that `take_news` has not returned yet."""
        return bool(self._news)

    def take_news(self) -> list[Ended]:
        """Return the ends since the last call."""
        news, self._news = self._news, []
        return news
