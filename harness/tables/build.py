"""The comparison table of a study.

Owns the order of columns and rows, the suite means, differences, ranks and coverage. The rule: the
table is a function of the summary and the set of records alone, and nothing in it is averaged over what
is not there. Reading records is left to `aggregate`, footnotes to `notes`, layout to `harness.report`.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace

import msgspec
from msgspec import structs

from harness.errors import RecordError, did_you_mean
from harness.records.collector import without_collector
from harness.records.overlap import Overlap
from harness.records.schema import Record
from harness.records.store import merge
from harness.records.summary import RowSummary, StudySummary
from harness.tables.aggregate import Score, TaskKey, mean_and_spread
from harness.tables.differences import Difference, difference
from harness.tables.format import format_difference, format_score
from harness.tables.notes import add_notes
from harness.tables.profiles import Profiles
from harness.tables.queries import QueryScores
from harness.tables.scores import Scores
from harness.tables.significance import mark_if_significant, mark_of
from harness.tables.standings import standings
from harness.tables.table import Cell, CellState, Column, Row, SeedValue, Table
from harness.tables.testing import infer


@without_collector()
def build_table(
    summary: StudySummary,
    records: Sequence[Record],
    *,
    queries: QueryScores | None = None,
    overlap: Overlap | None = None,
) -> Table:
    """Return the table of `summary`: its variants in the study's order, then its references.

    Columns are each suite's tasks, then (for suites of more than one task) their mean and its difference
    from the baseline. Values are means over seeds. Differences are tested as far as there are seeds or
    per-query scores. Where `overlap` is given, cells are marked whose task the row may know.

    Raises:
        RecordError: If records contradict each other, or the baseline is not one of the rows.
    """
    ordered = sorted(summary.rows, key=lambda row: row.role == "reference")
    summary = replace(summary, rows=tuple(ordered))
    baseline = _find_baseline(summary)
    scores = Scores(summary, merge(records))
    columns = _columns(summary, scores)
    grid = [_line(row, columns, scores) for row in range(len(ordered))]
    variant_seeds = {len(row.members) for row in ordered if row.role == "variant"}
    table = Table(
        title=summary.name,
        caption=summary.question,
        columns=tuple(columns),
        rows=_rows(ordered, columns, grid, baseline=baseline, queries=queries),
        baseline=summary.baseline,
        primary=_primary(columns),
        has_coverage=True,
        has_seeds=len(variant_seeds) > 1,
        profiles=None if queries is None else Profiles(summary.rows, queries),
    )
    return add_notes(table, summary, scores, overlap=overlap)


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


def _columns(summary: StudySummary, scores: Scores) -> list[Column]:
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


def _task_column(task: TaskKey, scores: Scores) -> Column:
    ways = scores.ways(task)
    first = ways.examples[0] if ways.examples else None
    # Queries of one row's first member: its parts add up.
    kinds = [[ways.examples[way].num_queries or 0 for way in one] for one in set(ways.of_members) if one]
    counts = {sum(parts) for parts in kinds if all(parts)}
    return Column(
        kind="task",
        suite=task[0],
        task=task[1],
        metric=first.metric if first else "",
        higher_is_better=first.higher_is_better if first else True,
        scale=100 if scores.is_share(task) else 1,
        num_queries=counts.pop() if len(counts) == 1 else None,
    )


class _Draft(msgspec.Struct, frozen=True, gc=False):
    """A cell before it is compared with other rows'."""

    value: float | None = None
    text: str = ""
    spread: float | None = None
    spread_text: str = ""
    per_seed: tuple[SeedValue, ...] = ()
    state: CellState = "ok"
    reason: str = ""


def _line(row: int, columns: Sequence[Column], scores: Scores) -> list[_Draft]:
    """Return the drafts of a row's cells."""
    values = scores.values(row)
    seeds = [member.seed for member in scores.rows[row].members]
    cells: list[_Draft] = []
    for column in columns:
        if column.kind == "task":
            task = (column.suite, column.task)
            whole = [value for value in values.get(task, ()) if value is not None]
            if whole and len(whole) == len(seeds):
                cells.append(_filled(seeds, whole, column))
            else:
                cells.append(_gap(scores.score(row, task), column))
        elif column.kind == "mean":
            tasks = [
                cell
                for cell, one in zip(cells, columns, strict=False)
                if one.kind == "task" and one.suite == column.suite
            ]
            cells.append(_mean(tasks, column))
        else:
            cells.append(_Draft(state="missing"))
    return cells


def _gap(score: Score, column: Column) -> _Draft:
    """Return the cell of a score that some or all members lack."""
    if score.per_seed:
        seeds = [one.seed for one in score.per_seed]
        filled = _filled(seeds, [one.value for one in score.per_seed], column)
        return structs.replace(filled, state=score.state, reason=score.reason)
    text = "" if score.state == "not_applicable" else score.state
    return _Draft(state=score.state, reason=score.reason, text=text)


def _mean(tasks: Sequence[_Draft], column: Column) -> _Draft:
    """Return the mean over a suite's tasks, seed by seed."""
    whole = sum(cell.state == "ok" for cell in tasks)
    if whole < len(tasks):
        return _Draft(state="incomplete", reason=f"no mean: {whole} of {len(tasks)} tasks are complete")
    by_seed = zip(*(cell.per_seed for cell in tasks), strict=True)
    means = [statistics.fmean([one.value for one in values]) for values in by_seed]
    return _filled([one.seed for one in tasks[0].per_seed], means, column)


def _filled(seeds: Sequence[int | None], values: Sequence[float], column: Column) -> _Draft:
    mean, spread = mean_and_spread(values)
    return _Draft(
        mean,
        format_score(mean, scale=column.scale),
        spread,
        "" if spread is None else format_score(spread, scale=column.scale),
        tuple([SeedValue(seed=seed, value=value) for seed, value in zip(seeds, values, strict=True)]),
    )


def _rows(
    summaries: Sequence[RowSummary],
    columns: Sequence[Column],
    grid: Sequence[Sequence[_Draft]],
    *,
    baseline: int | None,
    queries: QueryScores | None,
) -> tuple[Row, ...]:
    """Return the rows, each cell with its difference from the baseline, its test and its rank."""
    base = None if baseline is None else grid[baseline]
    differences = [_differences(line, None if line is base else base) for line in grid]
    tests = infer(columns, differences, rows=summaries, baseline=baseline, queries=queries)
    roles = [row.role for row in summaries]
    ranks = [
        standings([line[index] for line in grid], roles, higher_is_better=column.higher_is_better)
        for index, column in enumerate(columns)
    ]
    rows = []
    for place, (row, line) in enumerate(zip(summaries, grid, strict=True)):
        cells: list[Cell] = []
        for index, (draft, column) in enumerate(zip(line, columns, strict=True)):
            if column.kind == "delta":
                # A delta column always follows the column that it is taken of.
                cells.append(_delta_cell(cells[-1], column, is_baseline=place == baseline))
                continue
            found, test = differences[place][index], tests.get((place, index))
            cells.append(
                Cell(
                    value=draft.value,
                    text=draft.text,
                    spread=draft.spread,
                    spread_text=draft.spread_text,
                    state=draft.state,
                    reason=draft.reason,
                    delta=None if found is None else found.delta,
                    per_seed=draft.per_seed,
                    standing=ranks[index].get(place, ""),
                    inference=test,
                    mark=mark_if_significant(test),
                )
            )
        rows.append(_row(row, cells, columns, is_baseline=place == baseline))
    return tuple(rows)


def _differences(line: Sequence[_Draft], base: Sequence[_Draft] | None) -> list[Difference | None]:
    """Return a line's differences from the baseline's; None where one of both is not whole."""
    if base is None:
        return [None] * len(line)
    return [
        difference(cell.per_seed, other.per_seed) if cell.state == other.state == "ok" else None
        for cell, other in zip(line, base, strict=True)
    ]


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
        inference=cell.inference,
        mark="" if cell.inference is None else mark_of(cell.inference),
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
