"""Numbers as text.

Owns rounding. The rule: a number is rounded once, from its shortest exact decimal form, half to even,
so that the same value gives the same digits on every machine and 0.285 reads 28.50, not 28.49.
Typography (minus signs, bold) is left to the renderers.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

_STEP = Decimal("0.01")


def round_scaled(value: float, *, scale: int = 100) -> Decimal:
    """Return `value` times `scale`, rounded to two decimals; never a negative zero."""
    rounded = (Decimal(repr(float(value))) * scale).quantize(_STEP, rounding=ROUND_HALF_EVEN)
    return abs(rounded) if rounded == 0 else rounded


def format_score(value: float, *, scale: int = 100) -> str:
    """Return a score with two decimals, as in `71.20`."""
    return f"{round_scaled(value, scale=scale):f}"


def format_difference(value: float, *, scale: int = 100) -> str:
    """Return a difference with its sign, as in `+1.20`, `-0.35` or `0.00`."""
    rounded = round_scaled(value, scale=scale)
    return f"{rounded:+f}" if rounded else f"{rounded:f}"
