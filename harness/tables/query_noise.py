"""How much another draw of queries would move a difference between rows.

Owns the standard error from queries. The rule: where per-query scores are there, it is the spread of
the paired differences by query; else a rough bound: the mean p of n values in [0, 1] has at most the
variance p (1 - p) / n (Bhatia and Davis, American Mathematical Monthly 107, 2000, pages 353-357), and
the two rows are taken as independent, although they share queries. Tasks of a mean are taken as
independent.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Literal

from harness.tables.table import Row, Table

Basis = Literal["paired scores", "bound", "both", "none"]


def query_error(
    table: Table, pairs: Sequence[tuple[Row, Row]], column: int
) -> tuple[float | None, Basis]:
    """Return the standard error from queries of the mean difference over `pairs`, and what it rests on.

    None where neither per-query scores nor the number of queries is known of some task.
    """
    chosen = table.columns[column]
    tasks = [
        index
        for index, one in enumerate(table.columns)
        if one.kind == "task"
        and one.suite == chosen.suite
        and (chosen.kind != "task" or index == column)
    ]
    squares = []
    bases: set[Basis] = set()
    for index in tasks:
        error = _paired_error(table, pairs, index)
        bases.add("bound" if error is None else "paired scores")
        if error is None:
            error = _bound(table, pairs, index)
        if error is None:
            return None, "none"
        squares.append(error**2)
    if not squares:
        return None, "none"
    basis = bases.pop() if len(bases) == 1 else "both"
    return math.sqrt(math.fsum(squares)) / len(squares), basis


def query_variance(table: Table, row: Row, column: int) -> float | None:
    """Return the largest variance that sampling of queries can give a row's value on a task.

    None where the number of queries is unknown or the score lies outside of [0, 1].
    """
    value, num = row.cells[column].value, table.columns[column].num_queries
    if value is None or not num or not 0 <= value <= 1:
        return None
    return value * (1 - value) / num


def _paired_error(table: Table, pairs: Sequence[tuple[Row, Row]], column: int) -> float | None:
    if table.profiles is None:
        return None
    chosen = table.columns[column]
    differences = table.profiles.differences(
        [(start.label, end.label) for start, end in pairs],
        suite=chosen.suite,
        task=chosen.task,
        metric=chosen.metric,
    )
    if differences is None or len(differences) < 2:
        return None
    return float(differences.std(ddof=1)) / math.sqrt(len(differences))


def _bound(table: Table, pairs: Sequence[tuple[Row, Row]], column: int) -> float | None:
    errors = []
    for start, end in pairs:
        before, after = query_variance(table, start, column), query_variance(table, end, column)
        if before is None or after is None:
            return None
        errors.append(math.sqrt(before + after))
    # All pairs share the same queries, so their errors do not average out.
    return statistics.fmean(errors) if errors else None
