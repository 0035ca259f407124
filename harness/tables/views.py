"""The two tables that follow from the main one: differences from the baseline, and main effects.

Owns no arithmetic of its own: both are views of what `build` and `effects` found, in the same shape, so
that every renderer lays out all three alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from harness.tables.effects import Effect, main_effects
from harness.tables.format import format_difference, format_score
from harness.tables.table import Cell, Column, Delta, Row, Table


def delta_table(table: Table) -> Table | None:
    """Return each row's difference from the baseline in every column; None without any difference."""
    kept = [index for index, column in enumerate(table.columns) if column.kind != "delta"]
    rows = []
    for row in table.rows:
        if row.is_baseline or not any(row.cells[index].delta for index in kept):
            continue
        cells = tuple(_as_difference(row.cells[index], table.columns[index]) for index in kept)
        rows.append(replace(row, cells=cells))
    if not rows:
        return None
    has_spread = any(cell.spread is not None for row in rows for cell in row.cells)
    notes = [f"Row minus {table.baseline}, in points, seed by seed where both share seeds."]
    if has_spread:
        notes.append("± is the sample standard deviation of the differences by seed.")
    return Table(
        title="Differences from the baseline",
        caption=f"Each row minus {table.baseline}",
        columns=tuple(table.columns[index] for index in kept),
        rows=tuple(rows),
        baseline=table.baseline,
        footnotes=tuple(one for one in table.footnotes if any(one.mark in row.notes for row in rows)),
        notes=tuple(notes),
    )


def effect_table(table: Table, *, factors: Mapping[str, tuple[str, ...]]) -> Table | None:
    """Return the main effect of each factor on every column; None where no two rows can be paired."""
    kept = [index for index, column in enumerate(table.columns) if column.kind != "delta"]
    by_change: dict[tuple[str, str, str], dict[int, Effect]] = {}
    for index in kept:
        for effect in main_effects(table, index, factors=dict(factors)):
            change = (effect.factor, effect.from_level, effect.to_level)
            by_change.setdefault(change, {})[index] = effect
    if not by_change:
        return None
    unlike = [
        f"{factor}: {start} → {end}"
        for (factor, start, end), effects in by_change.items()
        if any(effect.num_unlike for effect in effects.values())
    ]
    order = {name: place for place, name in enumerate(factors)}
    rows = []
    for (factor, start, end), effects in sorted(by_change.items(), key=lambda item: order[item[0][0]]):
        cells = tuple(_effect_cell(effects.get(index), table.columns[index]) for index in kept)
        rows.append(Row(label=f"{factor}: {start} → {end}", levels={factor: end}, cells=cells))
    notes = [
        "Mean difference over the rows that differ in this factor only, in points.",
        "± is the sample standard deviation of these differences, one a pair of rows and shared seed.",
    ]
    if unlike:
        notes.append(f"Not all rows were measured in the same way: {'; '.join(unlike)}.")
    return Table(
        title="Main effects",
        caption="What each factor does to each column",
        columns=tuple(table.columns[index] for index in kept),
        rows=tuple(rows),
        notes=tuple(notes),
    )


def _as_difference(cell: Cell, column: Column) -> Cell:
    if cell.delta is None:
        return Cell(state=cell.state, reason=cell.reason or "the baseline has no value here")
    return _signed(cell.delta, column)


def _signed(delta: Delta, column: Column) -> Cell:
    return Cell(
        value=delta.value,
        text=format_difference(delta.value, scale=column.scale),
        spread=delta.spread,
        spread_text="" if delta.spread is None else format_score(delta.spread, scale=column.scale),
        delta=delta,
    )


def _effect_cell(effect: Effect | None, column: Column) -> Cell:
    if effect is None:
        return Cell(state="missing", reason="no two complete rows differ in this factor only")
    return _signed(Delta(value=effect.value, spread=effect.spread, seeds=effect.seeds), column)
