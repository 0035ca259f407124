"""A comparison of two rows in every format.

Owns the layout of `harness compare`. The rule: each format says the same: the tasks with differences,
intervals and marks, the verdict over all tasks, and the configuration fields that differ.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence

from msgspec import to_builtins

from harness.records.power import SIGNIFICANT
from harness.report.latex import render_latex_table
from harness.report.markdown import escape, render_table
from harness.report.page import render_fragment_of
from harness.tables.compare import Comparison, FieldDifference, TaskComparison
from harness.tables.format import format_difference, format_score
from harness.tables.significance import NOT_SIGNIFICANT, explain_levels, mark_of
from harness.tables.table import Cell, Column, Footnote, Row, Table

FORMS = ("md", "csv", "tex", "json", "html")


def render_comparison(comparison: Comparison, form: str) -> str:
    """Return a comparison as `md`, `csv`, `tex`, `json` or `html`."""
    table = lay_out(comparison)
    if form == "json":
        return json.dumps(to_builtins(comparison), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    if form == "csv":
        return _csv(comparison)
    if form == "tex":
        return render_latex_table(table, caption=table.caption, label="comparison")
    if form == "html":
        return render_fragment_of([table])
    parts = [f"# {escape(table.title)}\n", render_table(table), "## Over all tasks\n"]
    parts.append("\n".join(f"- {escape(line)}" for line in describe_overall(comparison)) + "\n")
    parts.append("## Configuration fields that differ\n")
    parts.append(_fields(comparison))
    return "\n".join(parts)


def _csv(comparison: Comparison) -> str:
    """Return a line a task, scores as shown, with the test behind each difference."""
    heads = ["task", "metric", comparison.first, comparison.second, "difference"]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*heads, "low", "high", "p", "p_holm", "level", "seeds", "queries"])
    for one in comparison.tasks:
        scale, found = one.scale, one.inference
        line = [one.task, one.metric]
        sides = (one.first, one.second)
        line += ["" if value is None else format_score(value, scale=scale) for value in sides]
        line.append("" if one.difference is None else format_difference(one.difference, scale=scale))
        if found is not None:
            line += [format_difference(end, scale=scale) for end in (found.low, found.high)]
            line += [f"{found.p_value:.4f}", f"{found.adjusted or 0.0:.4f}", found.level]
            line += [str(found.num_seeds), str(found.num_units)]
        writer.writerow(line + [""] * (len(heads) + 7 - len(line)))
    return buffer.getvalue()


def lay_out(comparison: Comparison) -> Table:
    """Return the tasks of a comparison as a table: a line a task, both sides, their difference."""
    notes: dict[str, str] = {}
    rows = [_row(one, notes) for one in comparison.tasks]
    columns = tuple(
        Column(kind="task", suite="", task=name, scale=1)
        for name in (comparison.first, comparison.second)
    )
    difference = Column(kind="task", suite="", task="difference", scale=1)
    tested = [one.inference for one in comparison.tasks if one.inference is not None]
    remarks = [f"Difference: {comparison.second} minus {comparison.first}, in points."]
    if comparison.seeds:
        remarks.append(f"Seed by seed over {', '.join(map(str, comparison.seeds))}.")
    if tested:
        remarks.append(
            "In parentheses: the 95 % interval, not corrected. Marks: p < 0.05 after Holm's correction "
            f"over {len(tested)} tasks: {explain_levels(tested)}. {NOT_SIGNIFICANT}: not significant."
        )
    else:
        remarks.append("No task has what a test of its own needs: per-query scores, or several seeds.")
    return Table(
        title=f"{comparison.second} against {comparison.first}",
        caption=f"{comparison.second} against {comparison.first}",
        columns=(*columns, difference),
        rows=tuple(rows),
        footnotes=tuple(Footnote(mark=mark, text=text) for text, mark in notes.items()),
        notes=(*remarks, *describe_overall(comparison)),
    )


def describe_overall(comparison: Comparison) -> list[str]:
    """Return sentences on all tasks together."""
    overall = comparison.overall
    if not overall.num_tasks:
        return ["No task was measured on both sides."]
    counts = (
        f"{comparison.second} is better on {overall.wins}, equal on {overall.ties} and worse on "
        f"{overall.losses} of {overall.num_tasks} tasks."
    )
    lines = [counts]
    if overall.low is not None and overall.high is not None and overall.randomisation is not None:
        wilcoxon = "" if overall.wilcoxon is None else f", Wilcoxon p = {overall.wilcoxon:.4f}"
        verdict = "" if overall.randomisation < SIGNIFICANT else f" ({NOT_SIGNIFICANT})"
        lines.append(
            f"Mean gain over tasks {format_difference(overall.mean)}, 95 % interval "
            f"{format_difference(overall.low)} to {format_difference(overall.high)}; tasks as draws: "
            f"randomisation p = {overall.randomisation:.4f}{wilcoxon}{verdict}."
        )
    return lines


def _row(one: TaskComparison, notes: dict[str, str]) -> Row:
    texts = [one.reason] if one.reason else []
    if one.unlike:
        texts.append(f"Not measured in the same way: {'; '.join(one.unlike)}.")
    marks = tuple(notes.setdefault(text, str(len(notes) + 1)) for text in texts)
    label = f"{one.task} ({one.metric})" if one.metric else one.task
    sides = [_value(value, one.scale) for value in (one.first, one.second)]
    return Row(label=label, levels={}, cells=(*sides, _difference(one)), notes=marks)


def _value(value: float | None, scale: int) -> Cell:
    if value is None:
        return Cell(state="missing", text="")
    return Cell(value=value * scale, text=format_score(value, scale=scale))


def _difference(one: TaskComparison) -> Cell:
    if one.difference is None:
        return Cell(state="missing", reason=one.reason)
    text = format_difference(one.difference, scale=one.scale)
    inference = one.inference
    if inference is None:
        return Cell(value=one.difference * one.scale, text=text)
    ends = [format_difference(end, scale=one.scale) for end in (inference.low, inference.high)]
    return Cell(
        value=one.difference * one.scale,
        text=text,
        mark=mark_of(inference),
        interval_text=f"{ends[0]}, {ends[1]}",
    )


def _fields(comparison: Comparison) -> str:
    lines: Sequence[str]
    if comparison.unknown:
        lines = [f"- not recorded for {escape(name)}" for name in comparison.unknown]
    elif not comparison.fields:
        lines = ["- none: both were made from the same configuration"]
    else:
        lines = _grouped(comparison)
    return "\n".join(lines) + "\n"


def _grouped(comparison: Comparison) -> list[str]:
    """Return a line a field, and one line for all fields of a stage that only one side has."""
    stages: dict[str, list[FieldDifference]] = {}
    for one in comparison.fields:
        stages.setdefault(one.field.partition(".")[0], []).append(one)
    lines = []
    for stage, fields in stages.items():
        owner = ""
        if len(fields) > 1 and all(one.first is None for one in fields):
            owner = comparison.second
        elif len(fields) > 1 and all(one.second is None for one in fields):
            owner = comparison.first
        if owner:
            values = [(one.field, one.second if one.first is None else one.first) for one in fields]
            listed = "; ".join(f"{name.partition('.')[2]} {value}" for name, value in values if value)
            lines.append(f"- {escape(stage)}, only in {escape(owner)}: {escape(listed)}")
            continue
        lines += [f"- {escape(one.field)}: {_told(one.first)} → {_told(one.second)}" for one in fields]
    return lines


def _told(value: str | None) -> str:
    if value is None:
        return "absent"
    return escape(value) if value else "empty"
