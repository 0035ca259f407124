"""The whole report as JSON, with unrounded values, states and reasons.

Owns the JSON layout. The rule: whatever another format shows can be read here, with the number behind
it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import msgspec
from msgspec import to_builtins

from harness.report.content import Report
from harness.tables.effects import Effect
from harness.tables.table import Cell, Column, Row, Table


def render_json(report: Report) -> str:
    """Return `table.json`."""
    return dump(as_plain(report))


def dump(plain: Any) -> str:
    """Return JSON types as indented text, as `json.dumps` writes them, in a third of its time."""
    # Python's encoder indents in Python; without indents it is C, and tells numbers as before.
    flat = json.dumps(plain, ensure_ascii=False, allow_nan=False)
    return msgspec.json.format(flat, indent=1) + "\n"


def as_plain(report: Report) -> dict[str, Any]:
    """Return the report as JSON types."""
    return {
        "name": report.name,
        "question": report.question,
        "factors": {name: list(levels) for name, levels in report.factors.items()},
        "table": plain_table(report.table),
        "deltas": None if report.deltas is None else plain_table(report.deltas),
        "effects": None if report.effects is None else plain_table(report.effects),
        "interactions": None if report.interactions is None else plain_table(report.interactions),
        "primary_effects": [_effect(one) for one in report.primary_effects],
        "findings": to_builtins(report.findings),
        "settings": to_builtins(report.settings),
        "versions": dict(report.versions),
        "evaluators": list(report.evaluators),
        "num_records": report.num_records,
        "signature": report.signature,
    }


def plain_table(table: Table) -> dict[str, Any]:
    """Return a table as JSON types, with unrounded values, states and reasons."""
    primary = None if table.primary is None else table.columns[table.primary].key
    return {
        "title": table.title,
        "caption": table.caption,
        "baseline": table.baseline,
        "primary": primary,
        "columns": [_column(column) for column in table.columns],
        "rows": [_row(row, table) for row in table.rows],
        "footnotes": {one.mark: one.text for one in table.footnotes},
        "notes": list(table.notes),
    }


def _column(column: Column) -> dict[str, Any]:
    return {"key": column.key, **to_builtins(column)}


def _row(row: Row, table: Table) -> dict[str, Any]:
    cells = {
        column.key: {"display": cell.display, **_cell(cell)}
        for column, cell in zip(table.columns, row.cells, strict=True)
    }
    return {**to_builtins(replace(row, cells=())), "cells": cells}


def _cell(cell: Cell) -> dict[str, Any]:
    plain: dict[str, Any] = to_builtins(cell)
    # Only where somebody looked for it is there something to say.
    if not cell.exposure:
        del plain["exposure"]
    return plain


def _effect(effect: Effect) -> dict[str, Any]:
    return {**to_builtins(effect), "noise": effect.noise, "is_clear": effect.is_clear}
