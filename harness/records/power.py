"""How small a difference can be found.

Owns the formula, for tables that look back and plans that look ahead. The rule: a difference counts as
detectable if a two-sided t test at 0.05 would find it four times in five.
"""

from __future__ import annotations

import math
from functools import cache

SIGNIFICANT = 0.05
POWER = 0.8


def smallest_detectable(
    error: float, *, degrees: float, level: float = SIGNIFICANT, power: float = POWER
) -> float | None:
    """Return the true difference that a two-sided t test at `level` finds with probability `power`.

    Args:
        error: Standard error of the mean difference.
        degrees: Its degrees of freedom.
        level: Of the test.
        power: Chance to find the difference.

    Returns:
        The noncentrality at which the noncentral t distribution gives that power, times the error
        (Cohen, Statistical Power Analysis, 1988, chapter 2); None without degrees of freedom.
    """
    if not degrees >= 1 or not math.isfinite(error):
        return None
    # To three decimals, so that the thousand rows of a table share their solutions.
    return _noncentrality(round(degrees, 3), level, power) * error


@cache
def _noncentrality(degrees: float, level: float, power: float) -> float:
    """Return at which noncentrality a two-sided t test has this power."""
    from scipy.special import nctdtr, stdtrit

    critical = float(stdtrit(degrees, 1 - level / 2))
    low, high = 0.0, 2 * (critical + 10.0)
    for _ in range(60):
        middle = (low + high) / 2
        below, beyond = nctdtr(degrees, middle, critical), nctdtr(degrees, middle, -critical)
        # Tails too small for the function come as NaN: they add nothing.
        found = 1 - (0.0 if math.isnan(below) else below) + (0.0 if math.isnan(beyond) else beyond)
        low, high = (low, middle) if found >= power else (middle, high)
    return high
