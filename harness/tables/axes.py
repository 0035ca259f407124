"""What a table can be laid out by.

Owns the check of rows, columns and suite. The rule: an axis that a study cannot answer is refused with
the command or the field that makes it answerable.
"""

from __future__ import annotations

from dataclasses import replace

from harness.errors import RecordError, did_you_mean
from harness.records.overlap import Overlap
from harness.records.summary import StudySummary
from harness.tables.long import TASK_AXES, VARIANT


def check_axes(
    summary: StudySummary, *, rows: str, columns: str, suite: str, overlap: Overlap | None
) -> StudySummary:
    """Return the study, narrowed to a suite where one is named.

    Raises:
        RecordError: If an axis or the suite is not there, or nobody looked for what an axis tells apart.
    """
    axes = (VARIANT, *summary.factors, *TASK_AXES)
    for axis in (rows, columns):
        if axis not in axes:
            raise RecordError(
                f"{summary.name} has no {axis!r} to lay out.{did_you_mean(axis, axes)}",
                cure=f"rows and columns: {', '.join(axes)}",
            )
    if "domain" in (rows, columns) and summary.in_domain is None:
        raise RecordError(
            f"{summary.name}: it is not known which tasks are zero-shot",
            cure="say so under `sources.<name>.in_domain` in the study and run it again",
        )
    if "leaked" in (rows, columns) and overlap is None:
        raise RecordError(
            f"{summary.name}: nobody looked for its tasks' texts in the training pairs",
            cure=f"harness data overlap {summary.name}",
        )
    if rows == columns:
        raise RecordError(f"rows and columns are both {rows!r}", cure="give two different ones")
    if not suite:
        return summary
    names = [one.name for one in summary.suites]
    if suite not in names:
        raise RecordError(
            f"{summary.name} has no suite {suite!r}.{did_you_mean(suite, names)}",
            cure=f"suites: {', '.join(names)}",
        )
    return replace(summary, suites=tuple(one for one in summary.suites if one.name == suite))
