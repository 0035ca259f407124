"""Many comparisons at once.

Owns Holm's correction. The rule: whatever is marked significant in one table was tested as one family,
and the table says how large the family was.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.tables.levels import Inference


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected by Holm's step-down procedure.

    The chance of even one false claim in the whole family stays below the level, whatever the tests
    have to do with each other (Holm, Scandinavian Journal of Statistics 6, 1979).
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [1.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, (len(p_values) - rank) * p_values[index])
        adjusted[index] = min(1.0, running)
    return adjusted


def correct(family: Sequence[Inference]) -> list[Inference]:
    """Return the inferences with their p-values corrected over all of them."""
    adjusted = holm([one.p_value for one in family])
    return [one.corrected(p_value) for one, p_value in zip(family, adjusted, strict=True)]
