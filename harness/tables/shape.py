"""A study's table in any shape.

Owns `shape`: rows and columns by variant, factor or property of the tasks, with means, differences
from the baseline, ranks and coverage. The rule: a cell is a mean only over everything that should be
in it: all variants, tasks and seeds; else it is empty and says how much of it is there. Each variant
and each task of a cell counts once. The study's own table, with its tests by task, is left to `build`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from msgspec import structs

from harness.errors import RecordError, did_you_mean
from harness.records.collector import without_collector
from harness.records.overlap import Overlap
from harness.records.schema import Record
from harness.records.store import merge
from harness.records.summary import StudySummary
from harness.tables.axes import check_axes
from harness.tables.differences import difference
from harness.tables.exposure import leaks
from harness.tables.format import format_difference
from harness.tables.language_groups import PART_AXES, in_order
from harness.tables.levels import over_seeds
from harness.tables.long import VARIANT, coded_frame
from harness.tables.shape_cells import make_cells
from harness.tables.shape_notes import coverage, explain, parts, unbalanced, unlike_rows
from harness.tables.significance import correct_cells
from harness.tables.standings import standings
from harness.tables.table import Cell, Column, Footnote, Row, Table

if TYPE_CHECKING:
    import pandas as pd

_MEANS = {"task": ("task",), "type": ("task", "type"), **{axis: (axis,) for axis in PART_AXES}}
"""Columns -> over what their means are taken: tasks as they are, or types that count once each."""


@without_collector()
def shape(
    summary: StudySummary,
    records: Sequence[Record],
    *,
    rows: str = VARIANT,
    columns: str = "task",
    metric: str = "",
    suite: str = "",
    overlap: Overlap | None = None,
) -> Table:
    """Return a study's scores with any two of its factors and its tasks' properties as rows and columns.

    Args:
        summary: The study.
        records: Its records.
        rows: `variant`, a factor, `task`, `type`, `language`, `resource` and `e5-resource` (groups of
            languages, see `language_groups`), `suite`, `tier` (`smoke`, `nano`, `lite`, `full`, by the
            suite's benchmark), `domain` (in-domain for some variant, or zero-shot for all) or `leaked`
            (leaked for some variant, or clean for all).
        columns: The same, another one.
        metric: Name of a metric; each task's main one if empty.
        suite: One suite; all if empty.
        overlap: Which tasks' texts stand in the training pairs; None where nobody looked.

    Raises:
        RecordError: If an axis, the metric or the suite is not there, or records contradict each other.
    """
    summary = check_axes(summary, rows=rows, columns=columns, suite=suite, overlap=overlap)
    by = [axis for axis in PART_AXES if axis in (rows, columns)]
    long = coded_frame(summary, merge(records), metric=metric, by=by, overlap=overlap)
    lacking = _lacking(long, records, metric=metric, study=summary.name) if metric else []
    long = long[~long["task"].isin(lacking)] if lacking else long
    # References have no levels: they are lines of a table of variants only.
    if rows != VARIANT and columns != VARIANT and {rows, columns} & set(summary.factors):
        long = long[long["role"] == "variant"]
    by_suite = not {"suite", "tier"} & {rows, columns} and len(summary.suites) > 1
    suites = long["suite"].unique() if by_suite else [""]
    blocks = [(str(one), long[long["suite"] == one] if by_suite else long) for one in suites]
    names = in_order(rows, (str(one) for one in long[rows].unique() if str(one)))
    base = _baseline(summary, rows)
    shown: list[Column] = []
    cells: dict[str, list[Cell]] = {name: [] for name in names}
    for block, part in blocks:
        for column, found in _block(part, rows, columns, suite=block):
            shown.append(column)
            for name in names:
                cells[name].append(found.get(name, Cell(state="missing", reason="not in the study")))
        if base in cells:
            _add_differences(shown, cells, base, suite=block)
    correct_cells(list(cells.values()))
    table = _assemble(summary, long, shown, cells, rows=rows, columns=columns, base=base, metric=metric)
    if lacking:
        left_out = f"Left out, since they have no {metric}: {', '.join(lacking)}."
        table = replace(table, notes=(*table.notes, left_out))
    if overlap is not None and "leaked" in (rows, columns):
        table = replace(table, notes=(*table.notes, *leaks(overlap, long["task"])))
    return replace(table, notes=(*table.notes, *parts(long, by, records)))


def _lacking(long: pd.DataFrame, records: Sequence[Record], *, metric: str, study: str) -> list[str]:
    """Return the tasks without a score of the metric.

    Raises:
        RecordError: If these are all.
    """
    if long["value"].isna().all():
        known = sorted({record.metric for record in records if record.metric})
        raise RecordError(
            f"{study}: no score of the metric {metric!r}.{did_you_mean(metric, known)}",
            cure=f"metrics: {', '.join(known)}",
        )
    having = set(long.loc[long["value"].notna(), "task"])
    return [str(task) for task in dict.fromkeys(long["task"]) if task not in having]


def _baseline(summary: StudySummary, rows: str) -> str:
    base = next((row for row in summary.rows if row.label == summary.baseline), None)
    if base is None:
        return ""
    return base.label if rows == VARIANT else base.levels.get(rows, "")


def _block(
    part: pd.DataFrame, rows: str, columns: str, *, suite: str
) -> list[tuple[Column, dict[str, Cell]]]:
    """Return the columns of one suite with their cells by row."""
    values = part["value"].dropna()
    scale = 100 if values.between(-1, 1).all() else 1
    higher = bool(part["higher_is_better"].dropna().astype(bool).all())
    plain = Column(kind="task", suite=suite, scale=scale, higher_is_better=higher)
    metrics = part[[columns, "metric"]].drop_duplicates() if columns == "task" else None
    result = []
    cells = make_cells(part, rows, scale=scale, columns=columns)
    for name in in_order(columns, filter(None, cells)):
        known: set[str] = set()
        if metrics is not None:
            known = {str(one) for one in metrics.loc[metrics[columns] == name, "metric"] if one}
        column = replace(plain, task=name, metric=known.pop() if len(known) == 1 else "")
        result.append((column, cells[name]))
    if columns in _MEANS and len(result) > 1:
        if columns in PART_AXES:
            # What is in no language takes no part in a mean over languages, unless it is what lacks.
            part = part[(part[columns] != "") | part["value"].isna()]
        for over in _MEANS[columns]:
            title = "" if len(_MEANS[columns]) == 1 else f" ({over}s)"
            column = replace(plain, kind="mean", detail=title)
            result.append((column, make_cells(part, rows, scale=scale, within=over)[""]))
    return result


def _add_differences(
    shown: list[Column], cells: dict[str, list[Cell]], base: str, *, suite: str
) -> None:
    """Add the difference from the baseline of a suite's first mean, or of its only column."""
    inside = [index for index, one in enumerate(shown) if one.suite == suite]
    means = [index for index in inside if shown[index].kind == "mean"]
    chosen = means[0] if means else inside[0] if len(inside) == 1 else None
    if chosen is None:
        return
    column = shown[chosen]
    shown.append(replace(column, kind="delta"))
    reference = cells[base][chosen]
    for name, line in cells.items():
        line.append(_difference(line[chosen], reference, column, is_base=name == base))


def _difference(cell: Cell, base: Cell, column: Column, *, is_base: bool) -> Cell:
    if is_base:
        return Cell(state="baseline", reason="the baseline itself")
    found = difference(cell.per_seed, base.per_seed)
    if found is None or cell.value is None or base.value is None:
        return Cell(state="incomplete", reason=cell.reason or "the baseline has no value here")
    import numpy as np

    delta = found.delta
    inference = over_seeds(np.array(found.by_seed))
    text = format_difference(delta.value, scale=column.scale)
    result = Cell(value=delta.value, text=text, delta=delta, per_seed=cell.per_seed)
    if inference is None:
        return result
    ends = [format_difference(end, scale=column.scale) for end in (inference.low, inference.high)]
    return structs.replace(result, inference=inference, interval_text=f"{ends[0]}, {ends[1]}")


def _assemble(
    summary: StudySummary,
    long: pd.DataFrame,
    shown: Sequence[Column],
    cells: dict[str, list[Cell]],
    *,
    rows: str,
    columns: str,
    base: str,
    metric: str,
) -> Table:
    names = list(cells)
    counts = coverage(long, rows)
    roles = {row.label: row.role for row in summary.rows} if rows == VARIANT else {}
    levels = {row.label: dict(row.levels) for row in summary.rows} if rows == VARIANT else {}
    seeds = {
        row.label: tuple(member.seed for member in row.members if member.seed is not None)
        for row in (summary.rows if rows == VARIANT else ())
    }
    if rows == VARIANT or rows in summary.factors:
        _rank(cells, shown, [roles.get(name, "variant") for name in names])
    unlike = unlike_rows(long, rows, base) if base else {}
    for name, text in unbalanced(long, rows, base, tuple(summary.factors)).items():
        unlike[name] = f"{unlike.get(name, '')} {text}".strip()
    texts = list(dict.fromkeys(unlike.values()))
    table_rows = [
        Row(
            label=name,
            role=roles.get(name, "variant"),
            seeds=seeds.get(name, ()),
            levels=levels.get(name, {rows: name} if rows in summary.factors else {}),
            is_baseline=name == base,
            cells=tuple(cells[name]),
            num_complete=counts[name][0],
            num_tasks=counts[name][1],
            unlike=unlike.get(name, ""),
            notes=(str(texts.index(unlike[name]) + 1),) if name in unlike else (),
        )
        for name in names
    ]
    title = f"{summary.name}: {columns} by {rows}" + (f" ({metric})" if metric else "")
    return Table(
        title=title,
        caption=title,
        columns=tuple(shown),
        rows=tuple(sorted(table_rows, key=lambda row: row.role == "reference")),
        baseline=base or None,
        footnotes=tuple(Footnote(mark=str(n), text=text) for n, text in enumerate(texts, start=1)),
        notes=tuple(explain(table_rows, shown, base=base)),
        has_coverage=True,
    )


def _rank(cells: dict[str, list[Cell]], columns: Sequence[Column], roles: Sequence[str]) -> None:
    """Mark the best and the second of each column."""
    lines = list(cells.values())
    for index, column in enumerate(columns):
        if column.kind == "delta":
            continue
        inside = [line[index] for line in lines]
        found = standings(inside, roles, higher_is_better=column.higher_is_better)
        for place, standing in found.items():
            lines[place][index] = structs.replace(lines[place][index], standing=standing)
