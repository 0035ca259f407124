"""What a run would ask, and what that would cost, before anything is sent.

Owns the dry run. The rule: the likely figures and the most there can be are both given, with what they
assume, and draws are the run's own. What an unfinished run has on disk already is not taken off.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.synthesis.budget import Budget
from harness.synthesis.draws import draw, num_tasks
from harness.synthesis.generate import most_requests
from harness.synthesis.kinds import KINDS, num_words
from harness.synthesis.load import Specification
from harness.synthesis.messages import Request, brainstorm_request, example_request

_SAMPLE = 2000
"""Draws that stand for all, where there are more."""
_TOKENS_A_WORD = 1.5
_SHORT_WORDS = 12
_TASK_WORDS = 18
_TYPICAL_TASK = "Given a question about the care of house plants, find guides that answer it in full."


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One step of one kind, or the sum."""

    name: str
    requests: int
    input_tokens: int
    """Likely."""
    output_tokens: int
    """Likely."""
    most_output_tokens: int
    cost: float
    """Likely, in the currency of the prices."""
    most_cost: float


def forecast(specification: Specification) -> list[Line]:
    """Return a line for each step and kind, and last their sum.

    The likely figures take one request an example, and 1.5 tokens a word; the sum's `most_cost` takes
    every request that `max_requests` allows, at its largest.
    """
    budget = Budget(specification.document.spending, spent=0.0)
    lines = []
    for kind in specification.kinds:
        a_reply = specification.document.brainstorm.tasks_per_reply
        number = math.ceil(num_tasks(specification, kind) / a_reply)
        if number:
            request = brainstorm_request(specification, kind, 0)
            words = a_reply * _TASK_WORDS
            lines.append(_line(f"brainstorm {kind}", [(request, words)], number, number, budget))
    size, most = specification.document.size, most_requests(specification)
    sampled: dict[str, list[tuple[Request, int]]] = {}
    sample = min(size, _SAMPLE)
    for index in range(sample):
        one = draw(specification, index)
        task = _TYPICAL_TASK if KINDS[one.kind].has_tasks else None
        words = sum(
            num_words(one.values) if field.is_long else _SHORT_WORDS for field in KINDS[one.kind].fields
        )
        sampled.setdefault(one.kind, []).append((example_request(specification, one, task), words))
    for kind in specification.kinds:
        if found := sampled.get(kind):
            number = round(len(found) * size / sample)
            lines.append(_line(f"example {kind}", found, number, round(number * most / size), budget))
    return [*lines, _sum(lines)]


def _line(name: str, sample: list[tuple[Request, int]], number: int, most: int, budget: Budget) -> Line:
    largest = sample[0][0].sampling.max_tokens
    output = sum(min(largest, round(words * _TOKENS_A_WORD) + 30) for _, words in sample) / len(sample)
    prompt = sum(request.likely_input_tokens for request, _ in sample) / len(sample)
    most_each = sum(budget.most(request) for request, _ in sample) / len(sample)
    return Line(
        name=name,
        requests=number,
        input_tokens=round(prompt * number),
        output_tokens=round(output * number),
        most_output_tokens=largest * most,
        cost=budget.price(round(prompt * number), round(output * number)),
        most_cost=most_each * most,
    )


def _sum(lines: list[Line]) -> Line:
    return Line(
        name="all",
        requests=sum(line.requests for line in lines),
        input_tokens=sum(line.input_tokens for line in lines),
        output_tokens=sum(line.output_tokens for line in lines),
        most_output_tokens=sum(line.most_output_tokens for line in lines),
        cost=sum(line.cost for line in lines),
        most_cost=sum(line.most_cost for line in lines),
    )
