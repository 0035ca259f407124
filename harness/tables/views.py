"""The tables that follow from the main one: differences from the baseline, main effects, interactions.

Owns no arithmetic of its own: all are views of what `build`, `effects` and `grid` found, in the same
shape, so that every renderer lays them out alike.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

from msgspec import structs

from harness.records.power import SIGNIFICANT
from harness.tables.effects import Effect, effects_by_column
from harness.tables.format import format_difference, format_score
from harness.tables.grid import Term, analyse
from harness.tables.significance import MARKS, NOT_SIGNIFICANT, explain_marks, mark_of
from harness.tables.table import Cell, Column, Delta, Row, Table

DETECTABLE = "smallest detectable difference"


def delta_table(table: Table) -> Table | None:
    """Return each row's difference from the baseline in every column; None without any difference."""
    kept = [index for index, column in enumerate(table.columns) if column.kind != "delta"]
    rows = []
    for row in table.rows:
        if row.is_baseline or not any(row.cells[index].delta for index in kept):
            continue
        cells = tuple(_marked_difference(row.cells[index], table.columns[index]) for index in kept)
        rows.append(replace(row, cells=cells))
    if not rows:
        return None
    columns = tuple(table.columns[index] for index in kept)
    has_spread = any(cell.spread_text for row in rows for cell in row.cells)
    notes = [f"Row minus {table.baseline}, in points, seed by seed where both share seeds."]
    if any(cell.interval_text for row in rows for cell in row.cells):
        notes.append("In parentheses: the 95 % interval of the difference, not corrected.")
    notes.extend(explain_marks(replace(table, rows=tuple(rows), columns=columns)))
    floor = detectable_row(rows, columns)
    if floor is not None:
        rows.append(floor)
        notes.append(
            f"{DETECTABLE.capitalize()}: the true difference that would be found four times in five "
            "with these seeds and queries, before any correction; the median over the rows."
        )
    if has_spread:
        notes.append("± is the sample standard deviation of the differences by seed.")
    return Table(
        title="Differences from the baseline",
        caption=f"Each row minus {table.baseline}",
        columns=columns,
        rows=tuple(rows),
        baseline=table.baseline,
        footnotes=tuple(one for one in table.footnotes if one.mark in _marks(rows)),
        notes=tuple(notes),
    )


def _marks(rows: Sequence[Row]) -> set[str]:
    """Return the marks of all footnotes that rows and their cells have."""
    lists = [notes for row in rows for notes in (row.notes, *(cell.notes for cell in row.cells))]
    return {mark for marks in lists for mark in marks}


def effect_table(table: Table, *, factors: Mapping[str, tuple[str, ...]]) -> Table | None:
    """Return the main effect of each factor on every column; None where no two rows can be paired."""
    kept = [index for index, column in enumerate(table.columns) if column.kind != "delta"]
    by_change: dict[tuple[str, str, str], dict[int, Effect]] = {}
    for index, found in effects_by_column(table, kept, factors=factors).items():
        for effect in found:
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


def interaction_table(table: Table, *, factors: Mapping[str, tuple[str, ...]]) -> Table | None:
    """Return each factor's and interaction's share of the variance; None unless some grid is full."""
    kept = [index for index, column in enumerate(table.columns) if column.kind != "delta"]
    found = {index: analyse(table, index, factors=factors) for index in kept}
    names = list(dict.fromkeys(term.name for terms in found.values() for term in terms))
    if not names:
        return None
    rows = []
    for name in names:
        terms = [next((one for one in found[index] if one.name == name), None) for index in kept]
        rows.append(Row(label=name, levels={}, cells=tuple(_share_cell(term) for term in terms)))
    tested = any(cell.mark for row in rows for cell in row.cells)
    meaning = (
        "Per cent of a column's variance that goes with a factor, with two factors beyond what each "
        "does alone, and with the seed that all variants share; the rest is everything else."
    )
    notes = [meaning]
    if tested:
        notes.append(
            f"* p < 0.05 by the F test against the rest, after Holm's correction over the column. "
            f"{NOT_SIGNIFICANT}: not significant."
        )
    else:
        notes.append("Nothing remains to test against: more seeds are needed.")
    return Table(
        title="Factors and interactions",
        caption="How much of each column's variance goes with each factor",
        columns=tuple(replace(table.columns[index], scale=100) for index in kept),
        rows=tuple(rows),
        notes=tuple(notes),
    )


def _share_cell(term: Term | None) -> Cell:
    if term is None:
        return Cell(state="missing", reason="the grid is not full in this column")
    mark = ""
    if term.adjusted is not None:
        mark = MARKS["seeds and queries"] if term.adjusted < SIGNIFICANT else NOT_SIGNIFICANT
    p_value = "" if term.p_value is None else f", F {term.f_value:.2f}, p {term.p_value:.4f}"
    return Cell(
        value=term.share,
        text=format_score(term.share),
        mark=mark,
        reason=f"degrees of freedom {term.degrees}{p_value}",
    )


def _marked_difference(cell: Cell, column: Column) -> Cell:
    """Return a cell's difference; what its row may know of the task is said of it, too."""
    found = _as_difference(cell, column)
    return structs.replace(found, exposure=cell.exposure, notes=cell.notes) if cell.exposure else found


def _as_difference(cell: Cell, column: Column) -> Cell:
    if cell.delta is None:
        return Cell(state=cell.state, reason=cell.reason or "the baseline has no value here")
    inference = cell.inference
    if inference is None:
        return _signed(cell.delta, column)
    ends = [format_difference(end, scale=column.scale) for end in (inference.low, inference.high)]
    # The interval says what the spread of a few seeds can only hint at.
    return Cell(
        value=cell.delta.value,
        text=format_difference(cell.delta.value, scale=column.scale),
        spread=cell.delta.spread,
        delta=cell.delta,
        inference=inference,
        mark=mark_of(inference),
        interval_text=f"{ends[0]}, {ends[1]}",
    )


def detectable_row(rows: Sequence[Row], columns: Sequence[Column]) -> Row | None:
    """Return the line of smallest detectable differences, the median over `rows`; None without any."""
    cells = []
    for index, column in enumerate(columns):
        found = [row.cells[index].inference for row in rows]
        known = [one.detectable for one in found if one is not None and one.detectable is not None]
        if known:
            value = statistics.median(known)
            cells.append(Cell(value=value, text=format_score(value, scale=column.scale)))
        else:
            cells.append(Cell(state="missing", reason="no difference was tested here"))
    if all(cell.value is None for cell in cells):
        return None
    return Row(label=DETECTABLE, role="reference", levels={}, cells=tuple(cells))


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
