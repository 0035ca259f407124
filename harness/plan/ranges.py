"""Numbers that are not known exactly.

Owns `Range`. The rule: a forecast is always a range; nothing here turns it into one number but `middle`,
which orders and decides.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Range:
    """From `low` to `high`, neither negative."""

    low: float
    high: float

    def __add__(self, other: Range) -> Range:
        """Return the range of the sum."""
        return Range(self.low + other.low, self.high + other.high)

    def times(self, low: float, high: float | None = None) -> Range:
        """Return the range of the product with a factor, or with one from `low` to `high`."""
        return Range(self.low * low, self.high * (low if high is None else high))

    @property
    def middle(self) -> float:
        """The geometric mean of both ends, since forecasts are off by factors; half where low is 0."""
        return math.sqrt(self.low * self.high) if self.low > 0 else self.high / 2


NOTHING = Range(0.0, 0.0)


def product(*factors: Range) -> Range:
    """Return the range of a product of independent factors, all above 0.

    They will not all be at their worst at once: the factors by which the ends lie off the middle add up
    as the logarithms of independent errors do, by their squares.
    """
    middle = math.prod(factor.middle for factor in factors)
    off = math.exp(
        math.sqrt(math.fsum((math.log(factor.high / factor.low) / 2) ** 2 for factor in factors))
    )
    return Range(middle / off, middle * off)


def inverse(rate: Range) -> Range:
    """Return the range of 1 / `rate`."""
    return Range(1 / rate.high, 1 / rate.low)


def total(ranges: Iterable[Range]) -> Range:
    """Return the range of the sum of many."""
    found = list(ranges)
    return Range(math.fsum([one.low for one in found]), math.fsum([one.high for one in found]))
