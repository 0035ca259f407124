"""Who is best in a column.

Owns the ranks that tables mark. The rule: what is shown decides, so that equal digits share a place, and
references take none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from harness.tables.table import Standing


class Shown(Protocol):
    """What a cell shows."""

    @property
    def text(self) -> str:
        """The value as shown."""

    @property
    def state(self) -> str:
        """`ok` where there is a value."""


def standings(
    cells: Sequence[Shown], roles: Sequence[str], *, higher_is_better: bool
) -> dict[int, Standing]:
    """Return which places of a column hold the best and second best shown value; ties share a place."""
    shown = {
        place: float(cell.text)
        for place, (cell, role) in enumerate(zip(cells, roles, strict=True))
        if role == "variant" and cell.state == "ok"
    }
    ranked = sorted(set(shown.values()), reverse=higher_is_better)
    if len(ranked) < 2:
        return {}
    places: dict[float, Standing] = {ranked[0]: "best", ranked[1]: "second"}
    return {place: places[value] for place, value in shown.items() if value in places}
