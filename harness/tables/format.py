"""Numbers as text.

Owns rounding. The rule: a number is rounded once, from its shortest exact decimal form, half to even,
so that the same value gives the same digits on every machine and 0.285 reads 28.50, not 28.49.
Typography (minus signs, bold) is left to the renderers.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

_STEP = Decimal("0.01")
_LARGE = 1e9
_NEAR_MIDDLE = (0.4999, 0.5001)


def round_scaled(value: float, *, scale: int = 100) -> Decimal:
    """Return `value` times `scale`, rounded to two decimals; never a negative zero."""
    rounded = (Decimal(repr(float(value))) * scale).quantize(_STEP, rounding=ROUND_HALF_EVEN)
    return abs(rounded) if rounded == 0 else rounded


def format_score(value: float, *, scale: int = 100) -> str:
    """Return a score with two decimals, as in `71.20`."""
    hundredths = value * scale * 100
    if _is_plain(hundredths):
        text = f"{hundredths / 100:.2f}"
        return "0.00" if text == "-0.00" else text
    return f"{round_scaled(value, scale=scale):f}"


def format_difference(value: float, *, scale: int = 100) -> str:
    """Return a difference with its sign, as in `+1.20`, `-0.35` or `0.00`."""
    hundredths = value * scale * 100
    if _is_plain(hundredths):
        text = f"{hundredths / 100:+.2f}"
        return "0.00" if text in {"+0.00", "-0.00"} else text
    rounded = round_scaled(value, scale=scale)
    return f"{rounded:+f}" if rounded else f"{rounded:f}"


def _is_plain(hundredths: float) -> bool:
    """Return whether a number lies so far from the middle between two hundredths that binary will do.

    Decimal arithmetic takes four times as long, and tables have numbers by the hundred thousand.
    """
    return -_LARGE < hundredths < _LARGE and not _NEAR_MIDDLE[0] < hundredths % 1 < _NEAR_MIDDLE[1]
