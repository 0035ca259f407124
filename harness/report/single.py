"""One table in any format, without a report around it.

Owns the choice of renderer. The rule: a table looks the same here as inside of a report.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.report.delimited import render_csv_table
from harness.report.latex import render_latex_table
from harness.report.markdown import render_table
from harness.report.page import render_fragment_of
from harness.report.structured import dump, plain_table
from harness.tables.table import Table


def render_single(table: Table, form: str, *, factors: Sequence[str] = ()) -> str:
    """Return a table as `md`, `csv`, `tex`, `json` or `html`.

    Args:
        table: What to lay out.
        form: The format.
        factors: Factors that have a column of their own in CSV.
    """
    if form == "csv":
        return render_csv_table(table, factors=factors)
    if form == "tex":
        label = re.sub(r"[^a-z0-9]+", "-", table.title.lower()).strip("-")
        return render_latex_table(table, caption=table.caption, label=label)
    if form == "html":
        return render_fragment_of([table])
    if form == "json":
        return dump(plain_table(table))
    return render_table(table)
