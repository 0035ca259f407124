"""Geometry of the one figure on the page: each variant's primary value, one dot a seed.

Owns positions and ticks. The rule: all values share one linear axis; a reference so far away that it
would press the variants together is named as off the scale, and never drawn in a wrong place. Drawing
is left to the page's template.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from harness.tables.format import format_score
from harness.tables.table import Cell, Row, Standing, Table

_EDGE_PERCENT = 3.0
"""Free space left and right, so that no dot is cut."""
_FAR = 6.0
"""A reference further than this many spans of the variants is off the scale."""
_TARGET_TICKS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A position on the axis with its text."""

    percent: str
    """Distance from the left edge in percent of the width, as SVG takes it."""
    text: str
    anchor: Literal["start", "middle", "end"] = "middle"
    """How a label at this place is aligned, so that it stays inside of the figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One variant."""

    label: str
    is_baseline: bool
    standing: Standing
    display: str
    mean: Mark
    dots: tuple[Mark, ...]
    """One a seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """The whole figure."""

    lines: tuple[Line, ...]
    references: tuple[Mark, ...]
    off_scale: tuple[str, ...]
    """References that lie outside of the axis, with their values."""
    ticks: tuple[Mark, ...]
    left_out: tuple[str, ...]
    """Rows without a value in the primary column."""


@dataclass(frozen=True, slots=True)
class _Axis:
    low: float
    high: float
    scale: int

    def mark(self, value: float, text: str) -> Mark:
        share = (value - self.low) / (self.high - self.low)
        percent = _EDGE_PERCENT + share * (100 - 2 * _EDGE_PERCENT)
        anchor: Literal["start", "middle", "end"] = "middle"
        if percent < 20:
            anchor = "start"
        elif percent > 80:
            anchor = "end"
        return Mark(percent=f"{percent:.2f}%", text=text, anchor=anchor)


def draw_chart(table: Table) -> Chart | None:
    """Return the figure of a table's primary column; None where no variant has a value in it."""
    if table.primary is None:
        return None
    column = table.columns[table.primary]
    cells = [(row, row.cells[table.primary]) for row in table.rows]
    variants = [pair for pair in cells if pair[0].role == "variant" and pair[1].state == "ok"]
    references = [pair for pair in cells if pair[0].role == "reference" and pair[1].value is not None]
    values = [one.value for _, cell in variants for one in cell.per_seed]
    if not values:
        return None
    span = max(max(values) - min(values), 1 / column.scale)
    near: list[tuple[Row, Cell]] = []
    far: list[tuple[Row, Cell]] = []
    for row, cell in references:
        value = cell.value or 0.0
        is_near = min(values) - _FAR * span <= value <= max(values) + _FAR * span
        (near if is_near else far).append((row, cell))
    shown = [*values, *(cell.value or 0.0 for _, cell in near)]
    room = max(0.0, span - (max(shown) - min(shown))) / 2
    axis = _Axis(min(shown) - room, max(shown) + room, column.scale)
    return Chart(
        lines=tuple(_line(row, cell, axis) for row, cell in variants),
        references=tuple(axis.mark(cell.value or 0.0, _named(row, cell)) for row, cell in near),
        off_scale=tuple(_named(row, cell) for row, cell in far),
        ticks=_ticks(axis),
        left_out=tuple(row.label for row, cell in cells if cell.state != "ok"),
    )


def _named(row: Row, cell: Cell) -> str:
    return f"{row.label} {cell.text}"


def _line(row: Row, cell: Cell, axis: _Axis) -> Line:
    dots = []
    for one in cell.per_seed:
        seed = "no seed" if one.seed is None else f"seed {one.seed}"
        dots.append(
            axis.mark(one.value, f"{row.label}, {seed}: {format_score(one.value, scale=axis.scale)}")
        )
    return Line(
        label=row.label,
        is_baseline=row.is_baseline,
        standing=cell.standing,
        display=cell.display,
        mean=axis.mark(cell.value or 0.0, f"{row.label}: {cell.display}"),
        dots=tuple(dots),
    )


def _ticks(axis: _Axis) -> tuple[Mark, ...]:
    """Return marks at round numbers, about five of them."""
    low, high = axis.low * axis.scale, axis.high * axis.scale
    rough = (high - low) / _TARGET_TICKS
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= rough * 0.999)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(
        axis.mark(index * step / axis.scale, f"{index * step + 0.0:.{decimals}f}")
        for index in range(first, last + 1)
    )
