"""Studies as pandas frames.

Owns the long frame of a study, one line an expected score, and `frame`, the wide one of any shape. The
rule: a score that should be there and is not is a line with its reason, so that nothing that is
counted or averaged can overlook it. Nothing here loops over scores: a thousand variants are one frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.records.overlap import Overlap, read_overlap
from harness.records.schema import Record
from harness.records.store import read_records
from harness.records.summary import StudySummary, read_summary

if TYPE_CHECKING:
    import pandas as pd

VARIANT = "variant"
TASK_AXES = ("task", "type", "language", "suite", "domain", "leaked")
"""Properties of a task that can be rows or columns, beside `variant` and the study's factors."""
FACTS = ("evaluator", "dataset_revision", "prompt_hash", "versions")
"""What must be alike where scores are compared."""


def frame(
    study: Path | str,
    *,
    rows: str = VARIANT,
    columns: str = "task",
    metric: str = "",
    suite: str = "",
) -> pd.DataFrame:
    """Return a study's table as a frame of numbers, empty where a cell is incomplete.

    Args:
        study: Folder with `study.json` and `records.jsonl`.
        rows: `variant`, a factor, or one of `TASK_AXES`.
        columns: The same, another one.
        metric: Name of a metric; each task's main one if empty.
        suite: One suite; all if empty.

    Returns:
        One line a row of the table, one column a column, in points where the metric is 0 to 1. `attrs`
        holds `coverage` (row -> k/n), `footnotes` and `notes`.

    Raises:
        RecordError: If the study cannot be read, or an axis, a metric or a suite is not in it.
    """
    from harness.tables.shape import shape

    folder = Path(study)
    table = shape(
        read_summary(folder / "study.json"),
        read_records(folder / "records.jsonl"),
        rows=rows,
        columns=columns,
        metric=metric,
        suite=suite,
        overlap=read_overlap(folder),
    )
    import pandas as pd

    values = {
        column.key: [
            None if row.cells[index].value is None else (row.cells[index].value or 0.0) * column.scale
            for row in table.rows
        ]
        for index, column in enumerate(table.columns)
    }
    labels = pd.Index([row.label for row in table.rows], name=rows)
    wide = pd.DataFrame(values, index=labels, dtype="float64")
    wide.attrs["coverage"] = {row.label: row.coverage for row in table.rows}
    wide.attrs["footnotes"] = {one.mark: one.text for one in table.footnotes}
    wide.attrs["notes"] = list(table.notes)
    return wide


def long_frame(
    summary: StudySummary,
    records: Sequence[Record],
    *,
    metric: str = "",
    by_language: bool = False,
    overlap: Overlap | None = None,
) -> pd.DataFrame:
    """Return one line for each score that the study should have.

    Args:
        summary: The study.
        records: Its records, each key once.
        metric: Name of a metric; each task's main one if empty.
        by_language: Whether a task falls into its languages; a subset in two languages counts in both.
        overlap: Which tasks' texts stand in the training pairs; None where nobody looked.

    Returns:
        Columns `variant` (label), `role`, `slug`, `seed`, one a factor, `suite`, `task`, `type`, with
        `by_language` also `language`, then `value` (the mean over splits and subsets; empty unless all
        are there), and `FACTS`, each as one text.
    """
    import pandas as pd

    members = pd.DataFrame(
        [
            {
                VARIANT: row.label,
                "role": row.role,
                "slug": member.slug,
                "revision": member.revision,
                "seed": -1 if member.seed is None else member.seed,
                **{name: row.levels.get(name, "") for name in summary.factors},
            }
            for row in summary.rows
            for member in row.members
        ]
    )
    measured = _measured(records, metric=metric)
    measured = measured.merge(members[["slug", "seed", "revision"]], on=["slug", "seed"], how="inner")
    current = (
        (measured["revision_x"] == measured["revision_y"])
        | (measured["revision_x"] == "")
        | (measured["revision_y"] == "")
    )
    measured = measured[current]
    place = ["suite", "task"]
    if by_language:
        measured = measured.explode("language")
        measured["language"] = measured["language"].fillna("")
        place = [*place, "language"]
    parts = measured[[*place, "split", "subset"]].drop_duplicates().groupby(place).size()
    keys = ["slug", "seed", *place]
    grouped = measured.groupby(keys, sort=False, observed=True)
    scores = grouped["value"].agg(["mean", "count"]).reset_index()
    scores = scores.merge(parts.rename("parts").reset_index(), on=place)
    scores["value"] = scores["mean"].where(scores["count"] == scores["parts"])
    expected = members.merge(_tasks(summary, measured, place, overlap), how="cross")
    whole = expected.merge(scores[[*keys, "value"]], on=keys, how="left")
    return whole.merge(_facts(measured, keys), on=keys, how="left")


def _measured(records: Sequence[Record], *, metric: str) -> pd.DataFrame:
    """Return the records with a value for a metric, with the columns that tables need."""
    import pandas as pd

    chosen = [
        record
        for record in records
        if record.value is not None and (record.metric == metric if metric else record.is_main)
    ]
    columns: dict[str, Any] = {
        "slug": [record.variant for record in chosen],
        "seed": [-1 if record.seed is None else record.seed for record in chosen],
        "revision": [record.revision for record in chosen],
        "language": [record.languages for record in chosen],
        "versions": [str(sorted(record.versions.items())) for record in chosen],
    }
    plain = ("suite", "task", "split", "subset", "metric", "value", "higher_is_better", "task_type")
    for name in (*plain, *FACTS[:-1]):
        columns[name] = [getattr(record, name) for record in chosen]
    return pd.DataFrame(columns)


def _tasks(
    summary: StudySummary, measured: pd.DataFrame, place: list[str], overlap: Overlap | None
) -> pd.DataFrame:
    """Return the tasks that every row should have, in the study's order, with their properties."""
    import pandas as pd

    listed = pd.DataFrame(
        [(suite.name, task) for suite in summary.suites for task in suite.tasks],
        columns=["suite", "task"],
    )
    known = measured.drop_duplicates(place)[[*place, "task_type", "metric", "higher_is_better"]]
    # One split for all rows, so that they are compared on the same tasks.
    domain = {True: "in-domain", False: "zero-shot"}
    listed["domain"] = [domain[task in (summary.in_domain or ())] for task in listed["task"]]
    listed["leaked"] = [overlap.standing(task) if overlap else "" for task in listed["task"]]
    found = listed.merge(known, on=["suite", "task"], how="left")
    return found.rename(columns={"task_type": "type"}).fillna({"type": "", "metric": ""})


def _facts(measured: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return each score's circumstances; where its parts differ in one, the text lists all."""
    grouped = measured.groupby(keys, sort=False, observed=True)
    found = grouped[list(FACTS)].first()
    varying = [name for name in FACTS if (grouped[name].nunique() > 1).any()]
    for name in varying:
        found[name] = grouped[name].agg(lambda values: " and ".join(sorted(set(values))))
    return found.reset_index()
