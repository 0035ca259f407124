"""The files of a report.

Owns their names and their writing. The rule: the same summary and the same set of records give the same
bytes in every file, and a file is replaced whole or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from harness.records.overlap import Overlap
from harness.records.schema import Record
from harness.records.summary import StudySummary
from harness.report.content import Report
from harness.report.delimited import render_csv
from harness.report.latex import render_latex
from harness.report.markdown import render_markdown
from harness.report.page import render_fragment, render_page
from harness.report.structured import render_json
from harness.tables.queries import QueryScores

RENDERERS = {
    "table.md": render_markdown,
    "table.csv": render_csv,
    "table.tex": render_latex,
    "table.json": render_json,
    "table.html": render_fragment,
    "index.html": render_page,
}
"""File -> what renders it."""


def render_report(
    summary: StudySummary,
    records: Sequence[Record],
    *,
    queries: QueryScores | None = None,
    overlap: Overlap | None = None,
) -> dict[str, str]:
    """Return the text of each file of the report, by name.

    Raises:
        RecordError: If records contradict each other or do not fit the summary.
    """
    report = Report(summary, records, queries=queries, overlap=overlap)
    return {name: render(report) for name, render in RENDERERS.items()}


def render_one(
    summary: StudySummary,
    records: Sequence[Record],
    name: str,
    *,
    queries: QueryScores | None = None,
    overlap: Overlap | None = None,
) -> str:
    """Return the text of the one file of the report that has this name.

    Raises:
        RecordError: If records contradict each other or do not fit the summary.
    """
    return RENDERERS[name](Report(summary, records, queries=queries, overlap=overlap))


def write_report(
    summary: StudySummary,
    records: Sequence[Record],
    output: Path,
    *,
    queries: QueryScores | None = None,
    overlap: Overlap | None = None,
) -> list[Path]:
    """Write the report's files into `output` and return their paths.

    Raises:
        RecordError: If records contradict each other or do not fit the summary; nothing is written then.
    """
    texts = render_report(summary, records, queries=queries, overlap=overlap)
    output.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in texts.items():
        temporary = output / f".{name}.{os.getpid()}.tmp"
        temporary.write_text(text, encoding="utf-8", newline="\n")
        temporary.replace(output / name)
        paths.append(output / name)
    return paths
