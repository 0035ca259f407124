"""The spending cap: money is set aside before a request leaves, and settled when its answer is there.

Owns the sum that may still be spent. The rule: what was spent plus what requests in flight may cost at
most never passes the cap, so the cap holds whatever the model answers.
"""

from __future__ import annotations

import threading

from harness.synthesis.document import Spending
from harness.synthesis.messages import Request

_MILLION = 1_000_000


class CapReachedError(Exception):
    """The next request could pass the cap, and none in flight can give money back."""


class Budget:
    """A sum of money that threads share.

    Args:
        spending: Prices and cap; everything is free when None.
        spent: What earlier runs spent.
    """

    def __init__(self, spending: Spending | None, *, spent: float) -> None:
        self._spending = spending
        self.spent = spent
        """Settled so far."""
        self._reserved = 0.0
        self._changed = threading.Condition()

    def most(self, request: Request) -> float:
        """Return what a request may cost at most."""
        return self.price(request.most_input_tokens, request.sampling.max_tokens)

    def price(self, input_tokens: int, output_tokens: int) -> float:
        """Return the price of tokens."""
        if self._spending is None:
            return 0.0
        return (
            input_tokens * self._spending.input_per_million
            + output_tokens * self._spending.output_per_million
        ) / _MILLION

    def reserve(self, amount: float) -> None:
        """Set money aside, waiting for requests in flight to give some back.

        Raises:
            CapReachedError: When none is in flight and the money is not there.
        """
        with self._changed:
            while self._spending is not None and amount > 0:
                if self.spent + self._reserved + amount <= self._spending.cap:
                    break
                if self._reserved <= 0:
                    raise CapReachedError
                self._changed.wait()
            self._reserved += amount

    def settle(self, reserved: float, cost: float) -> None:
        """Take `cost` out of money that was set aside, and give back the rest."""
        with self._changed:
            self._reserved = max(0.0, self._reserved - reserved)
            if self._reserved < 1e-12:
                self._reserved = 0.0
            self.spent += cost
            self._changed.notify_all()
