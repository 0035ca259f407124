"""What is written under a table: footnotes for single cells and rows, and how to read the numbers.

Owns the numbering of footnotes. The rule: every cell without a number, and every number that is not like
its neighbours, has its reason on the page, once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from msgspec import structs

from harness.records.overlap import Overlap
from harness.records.summary import StudySummary
from harness.tables.comparable import describe_derived, describe_differences
from harness.tables.exposure import Exposure, explain_exposure, exposures
from harness.tables.scores import Scores
from harness.tables.significance import explain_marks
from harness.tables.table import Cell, Footnote, Row, Table

_MARKED = ("partial", "failed", "missing")


class _Footnotes:
    """Footnotes in order of first use, equal texts sharing a mark."""

    def __init__(self) -> None:
        self._marks: dict[str, str] = {}

    def mark(self, text: str) -> str:
        return self._marks.setdefault(text, str(len(self._marks) + 1))

    def listed(self) -> tuple[Footnote, ...]:
        return tuple(Footnote(mark=mark, text=text) for text, mark in self._marks.items())


def add_notes(
    table: Table, summary: StudySummary, scores: Scores, *, overlap: Overlap | None = None
) -> Table:
    """Return `table` with its footnotes and notes.

    Footnotes are for empty cells, incomparable rows, unequal seeds and tasks that a row may know.
    """
    labels = [row.label for row in table.rows]
    baseline = next((index for index, row in enumerate(table.rows) if row.is_baseline), None)
    differing = describe_differences(labels, scores, baseline=baseline)
    derived = describe_derived(summary)
    footnotes = _Footnotes()
    rows = []
    for row, text in zip(table.rows, differing, strict=True):
        texts = (text, derived[row.label], _seed_note(table, row))
        marks = [footnotes.mark(one) for one in texts if one]
        cells = [_with_mark(cell, table, index, footnotes) for index, cell in enumerate(row.cells)]
        if overlap is not None:
            cells = _exposed(cells, table, exposures(overlap, row.label), footnotes)
        rows.append(replace(row, cells=tuple(cells), unlike=text, notes=tuple(marks)))
    notes = _notes(table)
    if overlap is not None:
        variants = [row.label for row in table.rows if row.role == "variant"]
        notes += explain_exposure(overlap, {one.task for one in table.columns}, variants)
    return replace(table, rows=tuple(rows), footnotes=footnotes.listed(), notes=tuple(notes))


def _exposed(
    cells: Sequence[Cell], table: Table, known: Mapping[str, Exposure], footnotes: _Footnotes
) -> list[Cell]:
    """Return a row's cells, those with a score on a task that it may know marked."""
    marked = []
    for cell, column in zip(cells, table.columns, strict=True):
        found = known.get(column.task) if column.kind == "task" and cell.value is not None else None
        if found is not None:
            notes = (*cell.notes, footnotes.mark(found.text))
            cell = structs.replace(cell, exposure=", ".join(found.kinds), notes=notes)
        marked.append(cell)
    return marked


def _with_mark(cell: Cell, table: Table, index: int, footnotes: _Footnotes) -> Cell:
    if table.columns[index].kind != "task" or cell.state not in _MARKED:
        return cell
    return structs.replace(cell, notes=(footnotes.mark(f"{cell.state.capitalize()}: {cell.reason}"),))


def _seed_note(table: Table, row: Row) -> str:
    """Return a remark where differences rest on fewer seeds than the row or the baseline has."""
    deltas = [cell.delta for cell in row.cells if cell.delta is not None]
    base = next((one for one in table.rows if one.is_baseline), None)
    if not deltas or base is None or not row.seeds or not base.seeds:
        return ""
    shared = sorted(set(row.seeds) & set(base.seeds))
    if shared and (set(shared) != set(row.seeds) or set(shared) != set(base.seeds)):
        return f"Differences are over the seeds shared with the baseline: {_listed(shared)}."
    if not shared:
        return "Shares no seed with the baseline: differences are between the means, not paired."
    return ""


def _notes(table: Table) -> list[str]:
    notes = []
    scales = {column.scale for column in table.columns}
    if scales == {100}:
        notes.append("Scores are in points: 100 times the metric.")
    elif 100 in scales:
        plain = [column.task for column in table.columns if column.scale == 1 and column.kind == "task"]
        notes.append(f"Scores are in points (100 times the metric), except for {_listed(plain)}.")
    kinds = {column.kind for column in table.columns}
    if "mean" in kinds:
        notes.append(
            "Mean: unweighted, over the tasks of a suite; a row that lacks one of them has no mean."
        )
    if "delta" in kinds and table.baseline is not None:
        notes.append(
            f"Δ: difference from the baseline, {table.baseline}, seed by seed where both share seeds."
        )
    notes.extend(_seed_notes(table))
    notes.extend(explain_marks(table))
    if any(cell.standing for row in table.rows for cell in row.cells):
        notes.append("Best variant in bold, second underlined; references take no rank.")
    notes.extend(_blank_notes(table))
    return notes


def _seed_notes(table: Table) -> list[str]:
    variants = [row for row in table.rows if row.role == "variant"]
    counts = {len(row.seeds) for row in variants}
    has_spread = any(cell.spread is not None for row in table.rows for cell in row.cells)
    spread = "; ± is the sample standard deviation over seeds" if has_spread else ""
    if len(counts) != 1:
        return [f"Values are means over each row's seeds{spread}."] if counts else []
    count = counts.pop()
    if count == 1:
        seeds = {row.seeds for row in variants}
        which = f" ({seeds.pop()[0]})" if len(seeds) == 1 else ""
        return [f"One seed a variant{which}: how much a seed moves a score is not known."]
    return [f"Values are means over {count} seeds a variant{spread}."] if count else []


def _blank_notes(table: Table) -> list[str]:
    """Return one note for each row and reason that leaves cells blank because a task does not apply."""
    notes = []
    for row in table.rows:
        reasons: dict[str, list[str]] = {}
        for cell, column in zip(row.cells, table.columns, strict=True):
            if column.kind == "task" and cell.state == "not_applicable":
                reasons.setdefault(cell.reason, []).append(column.task)
        for reason, tasks in reasons.items():
            notes.append(
                f"Blank for {row.label} on {_listed(tasks)}: not applicable, {reason.rstrip('.')}."
            )
    return notes


def _listed(items: Sequence[object]) -> str:
    texts = [str(item) for item in items]
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)
