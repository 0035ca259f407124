"""Reports as GitHub-flavoured Markdown, aligned so that the text reads well unrendered.

Owns Markdown's escapes and marks. The rule: a string from a study or a record can neither open markup
nor break a line of the table.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.report.content import Report
from harness.report.findings import NOISE_NOTE, Finding, introduce
from harness.tables.table import Cell, Row, Table

_SPECIAL = re.compile(r"([\\`*\[\]|<>])|(?<!\w)(_)|(_)(?!\w)")


def render_markdown(report: Report) -> str:
    """Return `table.md`: the tables, what they say, and how they were made."""
    parts = [f"# {escape(report.name)}", escape(report.question)]
    parts.extend(_table(report.table))
    if report.findings:
        parts.append("## What the numbers say")
        parts.append(escape(introduce(report.table)))
        parts.append("\n".join(_finding(one) for one in report.findings))
        parts.append(escape(NOISE_NOTE))
    for table in report.tables[1:]:
        parts.append(f"## {escape(table.title)}")
        parts.extend(_table(table))
    parts.append("## How this was made")
    facts = {**report.settings, "versions": report.versions}
    parts.append(
        "\n".join(
            f"- {escape(group)}: "
            + "; ".join(f"{escape(name)} {escape(value)}" for name, value in values.items())
            for group, values in facts.items()
            if values
        )
    )
    parts.append(f"Signature: {escape(report.signature)}")
    return "\n\n".join(part for part in parts if part) + "\n"


def render_table(table: Table) -> str:
    """Return one table with its notes."""
    return "\n\n".join(_table(table)) + "\n"


def _finding(one: Finding) -> str:
    value = f" **{escape(one.value)}**" if one.value else ""
    verdict = f" ({one.verdict})" if one.verdict else ""
    return f"- {escape(one.headline)}:{value}{verdict}. {escape(one.detail)}"


def escape(text: str) -> str:
    """Return `text` as one line in which nothing is markup."""
    line = " ".join(text.split())
    line = _SPECIAL.sub(lambda match: "\\" + match.group(0), line).replace("&", "&amp;")
    # A line that starts so would be a heading, a quotation or an item of a list.
    return re.sub(r"^([#+-]|\d+(?=[.)]\s))", r"\\\1", line)


def _table(table: Table) -> list[str]:
    has_suites = len(table.suites) > 1
    heads = [""]
    titles = [column.title for column in table.columns]
    for column in table.columns:
        is_plain = column.kind == "task" and titles.count(column.title) == 1
        title = column.title if is_plain or not has_suites else f"{column.title} {column.suite}"
        heads.append(escape(title) + (f" ({escape(column.metric)})" if column.metric else ""))
    heads.extend(["Seeds"] * table.has_seeds + ["Tasks"] * table.has_coverage)
    lines = [_line(table, row) for row in table.rows]
    text = [align(heads, lines)]
    if table.footnotes:
        text.append("\n".join(f"- [{one.mark}] {escape(one.text)}" for one in table.footnotes))
    if table.notes:
        text.append(" ".join(escape(note) for note in table.notes))
    return text


def _line(table: Table, row: Row) -> list[str]:
    label = escape(row.label)
    if row.role == "reference":
        label = f"*{label}*"
    if row.is_baseline:
        label += " (baseline)"
    line = [label + _marks(row.notes), *(_cell(cell) for cell in row.cells)]
    if table.has_seeds:
        line.append(str(len(row.seeds) or ""))
    if table.has_coverage:
        line.append(row.coverage)
    return line


def _cell(cell: Cell) -> str:
    text = escape(cell.text) if cell.value is None else cell.text
    text = {"best": f"**{text}**", "second": f"<u>{text}</u>", "": text}[cell.standing]
    mark = f" {escape(cell.mark)}" if cell.mark else ""
    spread = f" ± {cell.spread_text}" if cell.spread_text else ""
    interval = f" ({cell.interval_text})" if cell.interval_text else ""
    return text + mark + interval + spread + _marks(cell.notes)


def _marks(marks: Sequence[str]) -> str:
    return "".join(f" [{mark}]" for mark in marks)


def align(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table whose first column is text and whose others are numbers."""
    widths = [max(3, *(len(line[index]) for line in [heads, *lines])) for index in range(len(heads))]
    rules = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    rows = [
        [
            line[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
        ]
        for line in [heads, *lines]
    ]
    rows.insert(1, rules)
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
