"""Structured output without a server: words that JSON would not allow are never drawn.

Owns the step between a model's logits and the next token: the grammar's mask (llguidance), temperature,
top-p, and the draw itself. The rule: each answer's draws come from a generator of its own, seeded by its
request, so that an answer does not depend on what it was batched with, beyond rounding.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import llguidance
import llguidance.hf
import numpy as np
import torch

from harness.synthesis.document import Sampling


class Grammars:
    """Grammars over one tokenizer.

    Args:
        tokenizer: A fast tokenizer of transformers.
        num_tokens: Width of the model's logits.
    """

    def __init__(self, tokenizer: Any, *, num_tokens: int) -> None:
        self._tokenizer = llguidance.hf.from_tokenizer(tokenizer, n_vocab=num_tokens)

    def matcher(self, schema: Mapping[str, Any]) -> Any:
        """Return a matcher that allows JSON of the schema, without space between its parts."""
        grammar = llguidance.LLMatcher.grammar_from_json_schema(
            json.dumps(schema), defaults={"whitespace_flexible": False}
        )
        matcher = llguidance.LLMatcher(self._tokenizer, grammar)
        if matcher.is_error():
            raise ValueError(matcher.get_error())
        return matcher


class ConstrainedDraw:
    """A logits processor that leaves each row one token: the one that was drawn.

    Args:
        matchers: A grammar's state, a row each.
        samplings: How to draw, a row each.
        seeds: Seeds, a row each.
        prompt_length: Tokens of the padded prompts.
        end: The token that ends an answer.
    """

    def __init__(
        self,
        matchers: Sequence[Any],
        *,
        samplings: Sequence[Sampling],
        seeds: Sequence[int],
        prompt_length: int,
        end: int,
    ) -> None:
        self._matchers = matchers
        self._samplings = samplings
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._prompt_length = prompt_length
        self._end = end
        self.finished: list[bool] = [False] * len(matchers)
        """Rows whose answer is whole."""
        self.lengths: list[int] = [0] * len(matchers)
        """Tokens of each row's answer."""

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return scores [rows, tokens] that are finite for the drawn token alone."""
        drawn = torch.full_like(scores, -torch.inf)
        for row in range(len(self._matchers)):
            written = input_ids[row, self._prompt_length :].tolist()
            drawn[row, self._next(row, scores[row].float().cpu(), written)] = 0.0
        return drawn

    def _next(self, row: int, scores: torch.Tensor, written: list[int]) -> int:
        if self.finished[row]:
            return self._end
        matcher, sampling = self._matchers[row], self._samplings[row]
        if matcher.is_stopped():
            self.finished[row] = True
            return self._end
        bits = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
        allowed = np.unpackbits(bits, bitorder="little")[: len(scores)].astype(bool)
        for token in set(written) if sampling.frequency_penalty else ():
            scores[token] -= sampling.frequency_penalty * written.count(token)
        scores[: len(allowed)][torch.from_numpy(~allowed)] = -torch.inf
        scores[len(allowed) :] = -torch.inf
        token = _draw(scores, sampling, self._generators[row])
        if token == self._end and matcher.is_accepting():
            self.finished[row] = True
            return token
        matcher.consume_token(token)
        self.lengths[row] += 1
        # A whole answer needs no token to end it.
        self.finished[row] = matcher.is_stopped()
        return token


def _draw(scores: torch.Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """Draw from the softmax of `scores` [tokens], the least likely tail left out (top-p)."""
    if sampling.temperature == 0:
        return int(scores.argmax())
    probabilities = torch.softmax(scores / sampling.temperature, dim=-1)
    ordered, order = probabilities.sort(descending=True)
    is_tail = ordered.cumsum(-1) - ordered > sampling.top_p
    ordered = ordered.masked_fill(is_tail, 0.0)
    return int(order[torch.multinomial(ordered, 1, generator=generator)])
