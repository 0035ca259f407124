"""From requests to answers: the log, the cap, the limits and the attempts around a backend.

Owns what happens between a request and its outcome, and the order in which outcomes are looked at. The
rule: an answer on disk is never asked again; every attempt is in the log before it leaves and after it
ends; and outcomes come in the order of the requests, whatever the concurrency.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from tenacity import RetryError, Retrying, retry_if_exception, stop_after_attempt

from harness.errors import HarnessError
from harness.synthesis.backend import AskError, Backend
from harness.synthesis.budget import Budget, CapReachedError
from harness.synthesis.document import Limits
from harness.synthesis.log import RequestLog
from harness.synthesis.messages import Reply, Request
from harness.synthesis.rates import RateLimiter
from harness.synthesis.waiting import WaitAsTold

_LOOK_AHEAD = 4
"""Groups in flight for each thread, so that one that waits does not hold up the others."""
CAP_REACHED = "spending cap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A request that brought no answer."""

    reason: str
    is_final: bool = True
    """Whether it was really asked; if false, the run ended before its turn."""


Outcome = Reply | Failure


class Asker:
    """Asks a backend, and keeps the books.

    Args:
        backend: Who answers.
        log: The books.
        budget: The cap.
        rates: The limits a minute.
        limits: Attempts and waits.
        sleep: Waits between attempts; the stop event's own wait when None.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        log: RequestLog,
        budget: Budget,
        rates: RateLimiter,
        limits: Limits,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self._backend = backend
        self._log = log
        self._budget = budget
        self._rates = rates
        self._limits = limits
        self._stop = threading.Event()
        self._sleep = sleep or self._wait
        self.num_retries = 0
        """Attempts beyond the first."""

    def outcomes(
        self, requests: Iterator[Request], *, room: Callable[[], int]
    ) -> Iterator[tuple[Request, Outcome]]:
        """Yield each request with its outcome, in order.

        Args:
            requests: What to ask; taken no sooner than needed.
            room: Says how many outcomes can still be of use. No more than that are in flight, so that
                nothing is paid for that is not wanted.

        Raises:
            HarnessError: If no request can be answered, or too many in a row were not.
        """
        threads = self._limits.concurrency if self._backend.batch == 1 else 1
        pending: deque[tuple[list[Request], Future[list[Outcome]]]] = deque()
        num_pending = failures = 0
        with ThreadPoolExecutor(threads) as pool:
            try:
                while True:
                    while len(pending) < _LOOK_AHEAD * threads and not self._stop.is_set():
                        group = _take(requests, min(self._backend.batch, room() - num_pending))
                        if not group:
                            break
                        pending.append((group, pool.submit(self._answer, group)))
                        num_pending += len(group)
                    if not pending:
                        return
                    group, future = pending.popleft()
                    for request, outcome in zip(group, future.result(), strict=True):
                        num_pending -= 1
                        if isinstance(outcome, Reply):
                            failures = 0
                        elif outcome.is_final:
                            failures += 1
                        if failures >= self._limits.stop_after_failures:
                            raise self._exhausted(failures, outcome)
                        yield request, outcome
            except BaseException:
                # Also when the reader of the outcomes gives up: threads that wait must not go on.
                self._stop.set()
                raise

    def _wait(self, seconds: float) -> None:
        self._stop.wait(seconds)

    def _exhausted(self, failures: int, outcome: Outcome) -> HarnessError:
        last = outcome.reason if isinstance(outcome, Failure) else ""
        return HarnessError(
            f"{failures} requests in a row brought no answer; the last: {last}",
            cure="see to the server and run the same command again: answers so far are kept",
        )

    def _answer(self, group: Sequence[Request]) -> list[Outcome]:
        found: dict[str, Outcome] = {}
        for request in group:
            reply = self._log.reply(request.key)
            if reply is not None:
                found[request.key] = reply
        missing = [request for request in group if request.key not in found]
        if missing:
            found |= dict(zip((r.key for r in missing), self._ask(missing), strict=True))
        return [found[request.key] for request in group]

    def _ask(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        attempts = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, AskError) and error.again),
            stop=stop_after_attempt(self._limits.attempts),
            wait=WaitAsTold(self._limits.max_wait_seconds),
            sleep=self._sleep,
        )
        try:
            for attempt in attempts:
                if self._stop.is_set():
                    return [Failure(reason="the run ended", is_final=False)] * len(requests)
                with attempt:
                    self.num_retries += attempt.retry_state.attempt_number > 1
                    return self._attempt(requests)
        except CapReachedError:
            self._stop.set()
            return [Failure(reason=CAP_REACHED, is_final=False)] * len(requests)
        except RetryError as error:
            last = error.last_attempt.exception()
            return [Failure(reason=str(last))] * len(requests)
        except AskError as error:
            return [Failure(reason=error.message)] * len(requests)
        raise AssertionError

    def _attempt(self, requests: Sequence[Request]) -> list[Reply]:
        most = [self._budget.most(request) for request in requests]
        self._budget.reserve(sum(most))
        departures = [
            self._rates.depart(request.likely_input_tokens + request.sampling.max_tokens)
            for request in requests
        ]
        numbers = [
            self._log.sent(request, reserved=reserved)
            for request, reserved in zip(requests, most, strict=True)
        ]
        try:
            replies = self._backend.ask(requests)
        except BaseException as error:
            is_charged = isinstance(error, AskError) and error.maybe_charged
            for number, request, reserved in zip(numbers, requests, most, strict=True):
                cost = reserved if is_charged else 0.0
                self._log.failed(number, request.key, reason=str(error)[:500], cost=cost)
                self._budget.settle(reserved, cost)
            raise
        rows = zip(numbers, requests, replies, most, departures, strict=True)
        for number, request, reply, reserved, departure in rows:
            cost = reserved
            if reply.input_tokens is not None and reply.output_tokens is not None:
                cost = self._budget.price(reply.input_tokens, reply.output_tokens)
                self._rates.correct(departure, reply.input_tokens + reply.output_tokens)
            self._log.replied(number, request.key, reply, cost=cost)
            self._budget.settle(reserved, cost)
        return replies


def _take(requests: Iterator[Request], most: int) -> list[Request]:
    taken: list[Request] = []
    while len(taken) < most:
        request = next(requests, None)
        if request is None:
            break
        taken.append(request)
    return taken
