"""The smallest difference that can be found is where the noncentral t test has its power."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from harness.records.power import POWER, SIGNIFICANT, smallest_detectable

ERROR = 0.25


def _power(degrees: float, shift: float) -> float:
    """Return the chance that a t test finds a difference of so many standard errors.

    By adaptive quadrature over the estimate of the error: scipy's own law has no value at 1 degree.
    """
    limit = stats.t.isf(SIGNIFICANT / 2, degrees)
    root = math.sqrt(degrees)

    def density(scale: float) -> float:
        beyond = stats.norm.sf(limit * scale - shift) + stats.norm.cdf(-limit * scale - shift)
        return float(beyond * stats.chi.pdf(scale * root, degrees) * root)

    middle, width = 1.0, 1 / math.sqrt(2 * degrees)
    ends = [max(0.0, middle + place * width) for place in (-12, -3, 0, 3, 12)]
    parts = itertools.pairwise(ends)
    return math.fsum(integrate.quad(density, *part, epsabs=1e-12)[0] for part in parts)


@given(st.one_of(st.floats(1.0, 3.0), st.floats(3.0, 500.0)))
def test_a_t_test_finds_the_difference_four_times_in_five(degrees: float) -> None:
    degrees = round(degrees, 3)
    found = smallest_detectable(ERROR, degrees=degrees)
    assert found is not None
    assert _power(degrees, found / ERROR) == pytest.approx(POWER, abs=1e-6)


@pytest.mark.parametrize("degrees", [1e6, 1e7, 1e300, math.inf])
def test_many_degrees_are_the_normal_law(degrees: float) -> None:
    found = smallest_detectable(1.0, degrees=degrees)
    assert found == pytest.approx(stats.norm.isf(SIGNIFICANT / 2) + stats.norm.isf(1 - POWER), rel=1e-5)


@pytest.mark.parametrize(("error", "degrees"), [(0.1, 0.0), (0.1, math.nan), (math.inf, 5.0)])
def test_without_degrees_of_freedom_nothing_is_detectable(error: float, degrees: float) -> None:
    assert smallest_detectable(error, degrees=degrees) is None
