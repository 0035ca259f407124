"""A run: from a specification to kept examples, drops and counts.

Owns the order of things. The rule: draws are asked and judged in their order until enough are kept, so
what is kept is a function of the answers alone; and every draw that was asked is kept or has a reason.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from harness.errors import StoreError, StudyError
from harness.synthesis.answers import Refused, read_example
from harness.synthesis.asking import CAP_REACHED, Asker, Failure, Outcome
from harness.synthesis.backend import Backend
from harness.synthesis.budget import Budget
from harness.synthesis.draws import Draw, draw
from harness.synthesis.gates import Example, Gatekeeper
from harness.synthesis.load import Specification
from harness.synthesis.log import NAME as LOG_NAME
from harness.synthesis.log import RequestLog
from harness.synthesis.messages import Request, example_request
from harness.synthesis.rates import RateLimiter
from harness.synthesis.similarity import Similarity
from harness.synthesis.tasks import Tasks, find_tasks

_IDENTITY = ".identity"
Progress = Callable[[str, int, int], None]
"""Takes what is being done, how much is done, and out of how much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """A draw that is not in the result, and why."""

    draw: Draw
    key: str
    """Of its request in the log."""
    refused: Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a run brought. Every draw asked is in `kept` or in `drops`."""

    kept: tuple[Example, ...]
    drops: tuple[Drop, ...]
    tasks: Mapping[str, Mapping[str, int]]
    """Kind -> what became of its brainstorm."""
    stopped: str
    """Why the run ended before enough were kept; empty where they are all there."""
    books: Mapping[str, float]
    """Attempts, answers, tokens and cost, over all runs in the folder."""
    served_by: tuple[str, ...]
    """Names under which the server answered."""


def generate(
    specification: Specification,
    backend: Backend,
    folder: Path,
    *,
    similarity: Similarity | None = None,
    sleep: Callable[[float], None] | None = None,
    progress: Progress = lambda _what, _done, _all: None,
) -> Result:
    """Ask until enough examples are kept, or the cap, the number of requests or the model stops it.

    Args:
        specification: What is wanted.
        backend: Who answers.
        folder: Where the log and the tasks are kept; a later run goes on from them.
        similarity: The embedder's gate.
        sleep: Waits between attempts.
        progress: Is told how far the run is.

    Raises:
        StudyError: If the folder holds answers to other questions.
        StoreError: If another process is at work in the folder.
        HarnessError: If no request can be answered.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock").acquire(timeout=0), RequestLog(folder / LOG_NAME) as log:
            _check_identity(specification, folder)
            document = specification.document
            asker = Asker(
                backend,
                log=log,
                budget=Budget(document.spending, spent=log.cost),
                rates=RateLimiter(
                    requests=document.limits.requests_per_minute,
                    tokens=document.limits.tokens_per_minute,
                ),
                limits=document.limits,
                sleep=sleep,
            )
            tasks, counts = find_tasks(specification, asker, folder)
            gates = Gatekeeper(document.gates, similarity)
            kept, drops = _examples(specification, asker, tasks, gates, progress)
            return Result(
                kept=kept,
                drops=drops,
                tasks=counts,
                stopped=_why_stopped(specification, len(kept), drops),
                books=_books(log),
                served_by=tuple(sorted(name for name in log.served_by if name)),
            )
    except Timeout as error:
        raise StoreError(f"{folder}: another process is at work there", cure="wait for it") from error


def _examples(
    specification: Specification,
    asker: Asker,
    tasks: Tasks,
    gates: Gatekeeper,
    progress: Progress,
) -> tuple[tuple[Example, ...], tuple[Drop, ...]]:
    size = specification.document.size
    kept: list[Example] = []
    drops: list[Drop] = []
    drawn: dict[str, tuple[Draw, str | None]] = {}

    def requests() -> Iterator[Request]:
        for index in itertools.islice(itertools.count(), most_requests(specification)):
            one = draw(specification, index)
            task = one.choose_task(tasks.get(one.kind, ()))
            request = example_request(specification, one, task)
            drawn[request.key] = (one, task)
            yield request

    for request, outcome in asker.outcomes(requests(), room=lambda: size - len(kept)):
        one, task = drawn.pop(request.key)
        judged = _judge(one, task, request, outcome, gates)
        if isinstance(judged, Example):
            kept.append(judged)
        else:
            drops.append(Drop(draw=one, key=request.key, refused=judged))
        progress("examples", len(kept), size)
    return tuple(kept), tuple(drops)


def _judge(
    one: Draw, task: str | None, request: Request, outcome: Outcome, gates: Gatekeeper
) -> Example | Refused:
    if isinstance(outcome, Failure):
        return Refused(reason="no answer" if outcome.is_final else "not asked", detail=outcome.reason)
    texts = read_example(outcome, one.kind)
    if isinstance(texts, Refused):
        return texts
    example = Example(draw=one, task=task, prompt=request.prompt, texts=texts)
    return gates.refuse(example) or example


def most_requests(specification: Specification) -> int:
    """Return the most examples that are asked for."""
    return math.ceil(specification.document.size * specification.document.max_requests)


def _why_stopped(specification: Specification, num_kept: int, drops: tuple[Drop, ...]) -> str:
    if num_kept >= specification.document.size:
        return ""
    if any(drop.refused.detail == CAP_REACHED for drop in drops):
        return "the spending cap is reached"
    return "`max_requests` is reached"


def _books(log: RequestLog) -> dict[str, float]:
    return {
        "attempts": log.events["sent"],
        "answers": log.events["reply"],
        "failed attempts": log.events["failed"],
        "attempts lost in a kill": log.events["lost"],
        "input tokens": log.tokens["input"],
        "output tokens": log.tokens["output"],
        "cost": round(log.cost, 9),
    }


def _check_identity(specification: Specification, folder: Path) -> None:
    path = folder / _IDENTITY
    if not path.is_file():
        path.write_text(specification.identity + "\n", encoding="utf-8")
    elif path.read_text(encoding="utf-8").strip() != specification.identity:
        raise StudyError(
            f"{folder} holds answers to other questions: seed, model, prompts, kinds, languages, "
            "values, sampling or brainstorm changed since",
            cure="put it back, or begin anew with another folder: --to DIR",
        )
