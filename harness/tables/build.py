"""The comparison table of a study.

Owns the order of columns and rows, the suite means, differences, ranks and coverage. The rule: the
table is a function of the summary and the set of records alone, and nothing in it is averaged over what
is not there. Reading records is left to `aggregate`, footnotes to `notes`, layout to `harness.report`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.errors import RecordError, did_you_mean
from harness.records.schema import Record
from harness.records.store import merge
from harness.records.summary import RowSummary, StudySummary
from harness.tables.aggregate import Score, TaskKey, mean_and_spread, mean_over_tasks, score_rows
from harness.tables.differences import difference
from harness.tables.format import format_difference, format_score
from harness.tables.notes import add_notes
from harness.tables.profiles import Profiles
from harness.tables.queries import QueryScores
from harness.tables.significance import add_inference
from harness.tables.standings import standings
from harness.tables.table import Cell, Column, Row, SeedValue, Table

_Scores = Mapping[TaskKey, Score]


def build_table(
    summary: StudySummary, records: Sequence[Record], *, queries: QueryScores | None = None
) -> Table:
    """Return the table of `summary`: its variants in the study's order, then its references.

    Columns are each suite's tasks, then (for suites of more than one task) their mean and its difference
    from the baseline. Values are means over seeds. Differences are tested as far as there are seeds or
    per-query scores.

    Raises:
        RecordError: If records contradict each other, or the baseline is not one of the rows.
    """
    ordered = sorted(summary.rows, key=lambda row: row.role == "reference")
    summary = replace(summary, rows=tuple(ordered))
    baseline = _find_baseline(summary)
    scores = score_rows(summary, merge(records))
    columns = _columns(summary, scores)
    grid = [[_cell(column, row, summary) for column in columns] for row in scores]
    if baseline is not None:
        grid = _add_deltas(grid, columns, baseline)
    roles = [row.role for row in ordered]
    for index, column in enumerate(columns):
        if column.kind != "delta":
            cells = [line[index] for line in grid]
            found = standings(cells, roles, higher_is_better=column.higher_is_better)
            for place, standing in found.items():
                grid[place][index] = replace(grid[place][index], standing=standing)
    rows = [
        _row(row, cells, columns, is_baseline=index == baseline)
        for index, (row, cells) in enumerate(zip(ordered, grid, strict=True))
    ]
    variant_seeds = {len(row.members) for row in ordered if row.role == "variant"}
    table = Table(
        title=summary.name,
        caption=summary.question,
        columns=tuple(columns),
        rows=tuple(rows),
        baseline=summary.baseline,
        primary=_primary(columns),
        has_coverage=True,
        has_seeds=len(variant_seeds) > 1,
    )
    table = add_inference(table, summary, queries)
    if queries is not None:
        table = replace(table, profiles=Profiles(summary.rows, queries))
    return add_notes(table, summary, scores)


def _find_baseline(summary: StudySummary) -> int | None:
    labels = [row.label for row in summary.rows]
    if len(set(labels)) != len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise RecordError(f"{summary.name}: two rows are labelled {twice!r}", cure="rename one of them")
    if summary.baseline is None:
        return None
    if summary.baseline not in labels:
        hint = did_you_mean(summary.baseline, labels)
        raise RecordError(
            f"{summary.name}: the baseline {summary.baseline!r} is not one of the rows.{hint}",
            cure=f"rows: {', '.join(labels)}",
        )
    return labels.index(summary.baseline)


def _columns(summary: StudySummary, scores: Sequence[_Scores]) -> list[Column]:
    columns: list[Column] = []
    for suite in summary.suites:
        tasks = [_task_column((suite.name, task), scores) for task in suite.tasks]
        columns.extend(tasks)
        # A mean of scores in different units or directions would say nothing.
        if len(tasks) > 1 and len({(one.scale, one.higher_is_better) for one in tasks}) == 1:
            mean = Column(
                kind="mean",
                suite=suite.name,
                scale=tasks[0].scale,
                higher_is_better=tasks[0].higher_is_better,
            )
            columns.append(mean)
            if summary.baseline is not None:
                columns.append(replace(mean, kind="delta"))
    if columns and summary.baseline is not None and not any(one.kind == "mean" for one in columns):
        columns.insert(1, replace(columns[0], kind="delta"))
    return columns


def _task_column(task: TaskKey, scores: Sequence[_Scores]) -> Column:
    records = [record for row in scores for record in row[task].records]
    values = [record.value for record in records if record.value is not None]
    # Queries of one row's first member: its parts add up.
    counts = {
        sum(record.num_queries or 0 for record in one.records)
        for row in scores
        for one in row[task].measurements
        if one.records and all(record.num_queries for record in one.records)
    }
    return Column(
        kind="task",
        suite=task[0],
        task=task[1],
        metric=records[0].metric if records else "",
        higher_is_better=records[0].higher_is_better if records else True,
        scale=100 if all(-1 <= value <= 1 for value in values) else 1,
        num_queries=counts.pop() if len(counts) == 1 else None,
    )


def _cell(column: Column, row: _Scores, summary: StudySummary) -> Cell:
    if column.kind == "delta":
        return Cell(state="missing", reason="no difference without both values")
    if column.kind == "task":
        score = row[column.suite, column.task]
        if score.per_seed:
            return replace(_filled(score.per_seed, column), state=score.state, reason=score.reason)
        text = "" if score.state == "not_applicable" else score.state
        return Cell(state=score.state, reason=score.reason, text=text)
    tasks = next(suite.tasks for suite in summary.suites if suite.name == column.suite)
    means = mean_over_tasks([row[column.suite, task] for task in tasks])
    if means:
        return _filled(means, column)
    whole = sum(row[column.suite, task].state == "ok" for task in tasks)
    return Cell(state="incomplete", reason=f"no mean: {whole} of {len(tasks)} tasks are complete")


def _filled(values: Sequence[SeedValue], column: Column) -> Cell:
    mean, spread = mean_and_spread(values)
    return Cell(
        value=mean,
        text=format_score(mean, scale=column.scale),
        spread=spread,
        spread_text="" if spread is None else format_score(spread, scale=column.scale),
        per_seed=tuple(values),
    )


def _add_deltas(grid: list[list[Cell]], columns: Sequence[Column], baseline: int) -> list[list[Cell]]:
    """Return the grid with each cell's difference from the baseline, and the delta columns filled."""
    base = grid[baseline]
    result = []
    for place, cells in enumerate(grid):
        filled: list[Cell] = []
        for cell, other, column in zip(cells, base, columns, strict=True):
            if column.kind == "delta":
                # A delta column always follows the column that it is taken of.
                filled.append(_delta_cell(filled[-1], column, is_baseline=place == baseline))
            elif place != baseline and cell.state == other.state == "ok":
                filled.append(replace(cell, delta=difference(cell.per_seed, other.per_seed)))
            else:
                filled.append(cell)
        result.append(filled)
    return result


def _delta_cell(cell: Cell, column: Column, *, is_baseline: bool) -> Cell:
    if is_baseline:
        return Cell(state="baseline", reason="the baseline itself")
    if cell.delta is None:
        reason = cell.reason or "the baseline has no value here"
        return Cell(state="incomplete", reason=reason)
    return Cell(
        value=cell.delta.value,
        text=format_difference(cell.delta.value, scale=column.scale),
        delta=cell.delta,
        per_seed=cell.per_seed,
    )


def _row(
    summary: RowSummary, cells: Sequence[Cell], columns: Sequence[Column], *, is_baseline: bool
) -> Row:
    tasks = [cell for cell, column in zip(cells, columns, strict=True) if column.kind == "task"]
    return Row(
        label=summary.label,
        role=summary.role,
        levels=dict(summary.levels),
        seeds=tuple(member.seed for member in summary.members if member.seed is not None),
        is_baseline=is_baseline,
        cells=tuple(cells),
        num_complete=sum(cell.state == "ok" for cell in tasks),
        num_tasks=len(tasks),
    )


def _primary(columns: Sequence[Column]) -> int | None:
    if not columns:
        return None
    first = [index for index, column in enumerate(columns) if column.suite == columns[0].suite]
    means = [index for index in first if columns[index].kind == "mean"]
    return means[0] if means else first[0]
