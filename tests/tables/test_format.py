from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.tables.format import format_difference, format_score, round_scaled

scores = st.floats(0, 1)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.712, "71.20"),
        (0.285, "28.50"),
        (0.71205, "71.20"),
        (0.71215, "71.22"),
        (1.0, "100.00"),
        (0.0, "0.00"),
    ],
)
def test_scores_have_two_decimals_rounded_half_to_even(value: float, expected: str) -> None:
    assert format_score(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(0.012, "+1.20"), (-0.0035, "-0.35"), (0.0, "0.00"), (-0.00001, "0.00")]
)
def test_differences_have_a_sign_unless_they_are_nothing(value: float, expected: str) -> None:
    assert format_difference(value) == expected


def test_values_of_another_scale_are_not_multiplied() -> None:
    assert format_score(12.345, scale=1) == "12.34"


@given(scores)
def test_rounding_is_off_by_half_a_step_at_most(value: float) -> None:
    exact = Fraction(repr(value)) * 100
    assert abs(Fraction(round_scaled(value)) - exact) <= Fraction(1, 200)


@given(
    st.one_of(
        st.floats(-1e8, 1e8),
        # Next to the middle between two hundredths, where binary arithmetic goes wrong.
        st.builds(
            lambda n, ulps: n / 2e4 + ulps * 2**-50, st.integers(-40_000, 40_000), st.integers(-3, 3)
        ),
    ),
    st.sampled_from([1, 100]),
)
def test_texts_are_those_of_decimal_arithmetic(value: float, scale: int) -> None:
    exact = round_scaled(value, scale=scale)
    assert format_score(value, scale=scale) == f"{exact:f}"
    assert format_difference(value, scale=scale) == (f"{exact:+f}" if exact else "0.00")


@given(scores, scores)
def test_rounding_keeps_the_order(first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert round_scaled(low) <= round_scaled(high)


@given(scores)
def test_a_shown_score_shows_the_same_when_it_is_read_and_shown_again(value: float) -> None:
    text = format_score(value)
    assert format_score(float(text), scale=1) == text


@given(st.floats(-1, 1))
def test_opposite_differences_show_opposite_signs(value: float) -> None:
    there, back = format_difference(value), format_difference(-value)
    assert there.lstrip("+-") == back.lstrip("+-")
    assert there == back == "0.00" or {there[0], back[0]} == {"+", "-"}
