"""How small a difference can be found.

Owns the formula, for tables that look back and plans that look ahead. The rule: a difference counts as
detectable if a two-sided t test at 0.05 would find it four times in five.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache
from statistics import NormalDist

SIGNIFICANT = 0.05
POWER = 0.8
_AS_NORMAL = 1e6
"""Degrees of freedom from which on the t law is the normal one, to a millionth."""


def smallest_detectable(error: float, *, degrees: float) -> float | None:
    """Return the true difference that a two-sided t test finds with probability `POWER`.

    Args:
        error: Standard error of the mean difference.
        degrees: Its degrees of freedom.

    Returns:
        The noncentrality at which the noncentral t distribution gives that power, times the error
        (Cohen, Statistical Power Analysis, 1988, chapter 2); None without degrees of freedom.
    """
    if not degrees >= 1 or not math.isfinite(error):
        return None
    # To three decimals, so that the thousand rows of a table share their solutions.
    return _noncentrality(round(min(degrees, _AS_NORMAL), 3)) * error


@cache
def _noncentrality(degrees: float) -> float:
    """Return at which noncentrality a two-sided t test has its power."""
    usual = NormalDist().inv_cdf(1 - SIGNIFICANT / 2)
    spread = 1 / math.sqrt(2 * degrees)
    scales = _Scales(degrees, step=min(spread / 2, 0.15))
    most = usual + 3 / (degrees * SIGNIFICANT)
    critical = _root(lambda limit: SIGNIFICANT - scales.beyond(limit, 0.0), usual, most)
    # The larger the limit, the steeper what is summed.
    scales = _Scales(degrees, step=min(spread / 2, 0.8 / (critical + 2)))
    return _root(lambda shift: scales.beyond(critical, shift) - POWER, 0.0, 2 * (critical + 10))


class _Scales:
    """The law of sqrt(chi2 / degrees), by which a t statistic's normal numerator is divided.

    Sums over equal steps of its logarithm converge exponentially (Trefethen and Weideman, The
    Exponentially Convergent Trapezoidal Rule, SIAM Review 2014). scipy has the noncentral t too, but
    takes longer to load than a whole study takes to plan.
    """

    def __init__(self, degrees: float, *, step: float) -> None:
        places = [*self._places(degrees, step), *self._places(degrees, -step)]
        mass = math.fsum(weight for _, weight in places) - 1.0
        # The middle, whose weight is 1, was yielded in both directions.
        self._weighted = [(scale, weight / mass) for scale, weight in places[1:]]

    @staticmethod
    def _places(degrees: float, step: float) -> Iterator[tuple[float, float]]:
        """Yield scales with their densities over that of 1, outwards from 1 to where nothing is left."""
        place = 0.0
        while (weight := math.exp(degrees * (place + 0.5 - math.exp(2 * place) / 2))) > 1e-17:
            yield math.exp(place), weight
            place += step

    def beyond(self, limit: float, shift: float) -> float:
        """Return the chance that a t statistic of this noncentrality is beyond a limit, either way."""
        half = math.sqrt(0.5)
        above, below, erfc = half * shift, -half * shift, math.erfc
        return 0.5 * sum(
            weight * (erfc(edge - above) + erfc(edge - below))
            for scale, weight in self._weighted
            for edge in (half * limit * scale,)
        )


def _root(rising: Callable[[float], float], low: float, high: float) -> float:
    """Return where a rising function is zero, between two bounds, by regula falsi (Illinois)."""
    under, over = rising(low), rising(high)
    last = 0
    while high - low > 1e-12 * high:
        middle = (low * over - high * under) / (over - under)
        found = rising(middle)
        if abs(found) < 1e-13:
            return middle
        if found > 0:
            high, over, under, last = middle, found, under / 2 if last > 0 else under, 1
        else:
            low, under, over, last = middle, found, over / 2 if last < 0 else over, -1
    return (low + high) / 2
