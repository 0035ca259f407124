"""What is said beside the cells of a shaped table.

Owns coverage, and the remarks on rows that were not measured alike or do not meet the same levels of the
other factors. The rule: a row that cannot be compared with the baseline says in which field and on what.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from harness.records.schema import Record
from harness.tables.language_groups import GROUPINGS, describe_grouping
from harness.tables.long import TASK_AXES
from harness.tables.measured import FACTS
from harness.tables.table import Column, Row

if TYPE_CHECKING:
    import pandas as pd


def coverage(long: pd.DataFrame, rows: str) -> dict[str, tuple[int, int]]:
    """Return for each row how many of its tasks have all their scores, and how many there are."""
    keys = [long[rows], long["suite"], long["task"]]
    by_task = long["value"].notna().groupby(keys, sort=False, observed=True).all()
    counts = by_task.groupby(level=0, sort=False, observed=True).agg(["sum", "size"])
    return {
        str(name): (int(whole), int(size))
        for name, whole, size in zip(counts.index, counts["sum"], counts["size"], strict=True)
    }


def unbalanced(long: pd.DataFrame, rows: str, base: str, factors: Sequence[str]) -> dict[str, str]:
    """Return a sentence for each level that does not meet the baseline's levels of the other factors."""
    others = [name for name in factors if name != rows]
    if rows not in factors or not others:
        return {}
    contexts: dict[str, set[tuple[str, ...]]] = {}
    for name, *levels in long[[rows, *others]].drop_duplicates().itertuples(index=False, name=None):
        contexts.setdefault(str(name), set()).add(tuple(levels))
    return {
        name: f"Not over the same levels of {', '.join(others)} as {base}: no effect of {rows} alone."
        for name, found in contexts.items()
        if base in contexts and found != contexts[base]
    }


def unlike_rows(long: pd.DataFrame, rows: str, base: str) -> dict[str, str]:
    """Return for each row that was not measured like the baseline in which fields, and on what."""
    if rows in TASK_AXES:
        return {}
    present = long[long["value"].notna()]
    found: dict[str, list[str]] = {}
    for fact in FACTS:
        kinds = present[["suite", "task", fact]].drop_duplicates()
        if not kinds.duplicated(["suite", "task"]).any():
            continue
        texts = _texts(present[[rows, "suite", "task", fact]])
        own = texts.get(base, {})
        for name in sorted(texts):
            differing = [
                task
                for (suite, task), text in sorted(texts[name].items())
                if text != own.get((suite, task), text)
            ]
            if differing:
                found.setdefault(name, []).append(f"{fact.replace('_', ' ')} ({', '.join(differing)})")
    return {
        name: f"Not measured in the same way as {base}: {'; '.join(texts)}."
        for name, texts in found.items()
    }


def _texts(present: pd.DataFrame) -> dict[str, dict[tuple[str, str], str]]:
    """Return row -> suite and task -> what is told of it in the last column."""
    values: dict[str, dict[tuple[str, str], set[str]]] = {}
    for name, suite, task, value in present.drop_duplicates().itertuples(index=False, name=None):
        values.setdefault(str(name), {}).setdefault((suite, task), set()).add(value or "none")
    return {
        name: {place: " and ".join(sorted(told)) for place, told in places.items()}
        for name, places in values.items()
    }


def parts(long: pd.DataFrame, by: Sequence[str], records: Iterable[Record]) -> list[str]:
    """Return sentences that say what groups of languages are, and which tasks fall into none."""
    if not by:
        return []
    notes = []
    shown = set(long[["suite", "task"]].drop_duplicates().itertuples(index=False, name=None))
    languages = [
        language
        for record in records
        if record.value is not None and (record.suite, record.task) in shown
        for language in record.languages
    ]
    for axis in by:
        if axis in GROUPINGS:
            notes += describe_grouping(axis, languages)
        unknown = dict.fromkeys(long.loc[long[axis] == "", "task"])
        if unknown:
            notes.append(f"Not by {axis}, since no language is recorded: {', '.join(unknown)}.")
    return notes


def explain(rows: Sequence[Row], columns: Sequence[Column], *, base: str) -> list[str]:
    """Return sentences that say how to read the table."""
    cells = [cell for row in rows for cell in row.cells]
    notes = []
    if {column.scale for column in columns} == {100}:
        notes.append("Scores are in points: 100 times the metric.")
    notes.append(
        "A cell is the mean over all variants, tasks and seeds that belong to it; it is empty unless "
        "all are there. Tasks: scores that are there, of those that should be."
    )
    if any(cell.spread_text for cell in cells):
        notes.append("± is the sample standard deviation over seeds.")
    if any(column.kind == "delta" for column in columns):
        notes.append(f"Δ: difference from {base}, seed by seed where both share seeds.")
    if any(cell.interval_text for cell in cells):
        notes.append(
            "In parentheses: the 95 % interval over seeds, not corrected. ‡: p < 0.05 over seeds, after "
            "Holm's correction over the differences of this table; n.s.: not significant."
        )
    if any(cell.standing for cell in cells):
        notes.append("Best in bold, second underlined; references take no rank.")
    return notes
