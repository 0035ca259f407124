"""The study's page: one HTML file that needs nothing else; and its tables as a fragment for other pages.

Owns what the templates see. The rule: the page loads nothing over any network (its own policy forbids
it), runs no script, and every string from a study or a record is escaped. Numbers and words come from
`content`, positions from `chart`, looks from the template and its style sheet.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from harness.report.chart import draw_chart
from harness.report.content import Report
from harness.report.findings import NOISE_NOTE, describe_column, introduce
from harness.tables.format import format_score
from harness.tables.levels import Inference
from harness.tables.table import Cell, Column, Table

_STATE_NAMES = {
    "partial": "some seeds missing",
    "not_applicable": "not applicable",
    "failed": "failed",
    "missing": "missing",
    "incomplete": "incomplete",
    "baseline": "baseline",
}


def render_page(report: Report) -> str:
    """Return `index.html`."""
    text = (
        template_environment()
        .get_template("page.html.j2")
        .render(
            report=report,
            chart=draw_chart(report.table),
            primary=describe_column(report.table) if report.table.primary is not None else "",
            facts=_facts(report),
            lead=introduce(report.table),
            noise_note=NOISE_NOTE,
        )
    )
    return text.rstrip("\n") + "\n"


def render_fragment(report: Report) -> str:
    """Return `table.html`: the report's tables without page, style or script, to be put into another."""
    return render_fragment_of(report.tables)


def render_fragment_of(tables: Sequence[Table]) -> str:
    """Return tables as a piece of HTML; the first one's columns hold scores, the others' differences."""
    prefixes = ["n", "d", "e", "f"][: len(tables)]
    template = template_environment().get_template("fragment.html.j2")
    return template.render(tables=tables, prefixes=prefixes).rstrip("\n") + "\n"


def template_environment() -> Environment:
    """Return the environment of all pages: escaping, strict, with the filters that templates use."""
    environment = Environment(
        loader=PackageLoader("harness.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["soft"] = soften
    environment.filters["minus"] = _with_minus
    environment.globals.update(describe=describe_cell, tone=tone, state_names=_STATE_NAMES)
    return environment


def soften(text: str) -> Markup:
    """Return `text` escaped, with places where a long name may break."""
    parts = re.split(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[_/.])", text)
    return Markup("<wbr>").join(escape(part) for part in parts)


def describe_cell(cell: Cell, column: Column) -> str:
    """Return what a pointer that rests on a cell is told: the reason for a gap, or the single seeds."""
    if cell.state != "ok":
        return f"{_STATE_NAMES[cell.state]}: {cell.reason}" if cell.reason else _STATE_NAMES[cell.state]
    if cell.num_seeds > 1 and column.kind != "delta":
        return ", ".join(
            f"seed {one.seed}: {format_score(one.value, scale=column.scale)}" for one in cell.per_seed
        )
    if cell.inference is not None:
        return _describe_inference(cell.inference)
    if cell.delta is not None and cell.delta.seeds:
        return "over seeds " + ", ".join(str(seed) for seed in cell.delta.seeds)
    return ""


def _describe_inference(one: Inference) -> str:
    drawn = [_count(one.num_seeds, "seed")] if one.num_seeds else []
    if one.num_units:
        drawn.append(f"{one.num_units} {'tasks' if one.level == 'tasks' else 'queries'}")
    corrected = "" if one.adjusted is None else f", {one.adjusted:.4f} corrected"
    return f"over {' and '.join(drawn)}: p = {one.p_value:.4f}{corrected}"


def tone(cell: Cell, column: Column) -> str:
    """Return `up` or `down` for a difference that shows as better or worse, else an empty string."""
    if cell.text.startswith("+"):
        return "up" if column.higher_is_better else "down"
    if cell.text.startswith("-"):
        return "down" if column.higher_is_better else "up"
    return ""


def _with_minus(text: str) -> str:
    return re.sub(r"(?<![\w.-])-(?=\d)", "\u2212", text)


def _facts(report: Report) -> str:
    rows = report.table.rows
    variants = sum(row.role == "variant" for row in rows)
    tasks = sum(column.kind == "task" for column in report.table.columns)
    seeds = len({seed for row in rows for seed in row.seeds})
    counts = [
        _count(variants, "variant"),
        _count(len(rows) - variants, "reference"),
        _count(tasks, "task"),
        _count(seeds, "seed"),
        _count(report.num_records, "record"),
    ]
    return " · ".join(counts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
