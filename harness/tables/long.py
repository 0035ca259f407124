"""The long frame of a study: one line a score that should be there.

Owns `long_frame` and its form in codes, `coded_frame`. The rule: a score that should be there and is not
is a line with nothing in it, so that nothing that is counted or averaged can overlook it. Nothing here
loops over lines: a thousand variants are one frame. What was measured is left to `measured`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from harness.records.overlap import Overlap
from harness.records.schema import Record
from harness.records.summary import StudySummary
from harness.tables.language_groups import PART_AXES, labels
from harness.tables.measured import FACTS, Measured, Place, read_measured

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

VARIANT = "variant"
TASK_AXES = ("task", "type", *PART_AXES, "suite", "tier", "domain", "leaked")
"""Properties of a task or its parts that can be rows or columns, beside `variant` and the factors."""


def long_frame(
    summary: StudySummary,
    records: Sequence[Record],
    *,
    metric: str = "",
    by: Sequence[str] = (),
    overlap: Overlap | None = None,
) -> pd.DataFrame:
    """Return one line for each score that the study should have.

    Args:
        summary: The study.
        records: Its records, each key once.
        metric: Name of a metric; each task's main one if empty.
        by: Of `PART_AXES`: by what a task falls into parts. A subset in two languages counts in both.
        overlap: Which tasks' texts stand in the training pairs; None where nobody looked.

    Returns:
        Columns `variant` (label), `role`, `slug`, `revision`, `seed`, one a factor, `suite`, `task`,
        `tier`, `domain`, `leaked`, `type`, `metric`, one for each axis of `by` (empty where nobody
        recorded a language), `higher_is_better`, then `value` (the mean over splits and subsets; empty
        unless all are there), and `FACTS`, each as one text.
    """
    frame = coded_frame(summary, records, metric=metric, by=by, overlap=overlap)
    words = [name for name in frame if frame[name].dtype == "category"]
    return frame.astype(dict.fromkeys(words, "str"))


def coded_frame(
    summary: StudySummary,
    records: Sequence[Record],
    *,
    metric: str = "",
    by: Sequence[str] = (),
    overlap: Overlap | None = None,
) -> pd.DataFrame:
    """Return `long_frame` with categories in place of texts."""
    import numpy as np
    import pandas as pd

    measured = read_measured(summary, records, metric=metric, by=by)
    rows = [(row, member) for row in summary.rows for member in row.members]
    places = list(_places(summary, measured, by, records))
    # Members one after the other, each with all places.
    member = np.repeat(np.arange(len(rows)), len(places))
    place = np.tile(np.arange(len(places)), len(rows))
    columns: dict[str, Any] = {
        VARIANT: _words([row.label for row, _ in rows], member),
        "role": _words([row.role for row, _ in rows], member),
        "slug": _words([one.slug for _, one in rows], member),
        "revision": _words([one.revision for _, one in rows], member),
        "seed": np.array([-1 if one.seed is None else one.seed for _, one in rows], np.int64)[member],
    }
    for name in summary.factors:
        columns[name] = _words([row.levels.get(name, "") for row, _ in rows], member)
    for name, values in _properties(summary, places, measured, overlap).items():
        columns[name] = _words(values, place)
    for number, name in enumerate(by):
        columns[name] = _words([part[number] for _, _, part in places], place)
    examples = measured.examples()
    is_higher = pd.Series(
        [examples[one].higher_is_better if one in examples else None for one in places], dtype="object"
    )
    columns["higher_is_better"] = is_higher.infer_objects().to_numpy()[place]
    models = np.array([measured.models[one.slug, one.seed] for _, one in rows], dtype=np.int64)
    numbers = np.array([measured.places.get(one, -1) for one in places], dtype=np.int64)
    score = measured.number(models[member], numbers[place])
    columns["value"] = measured.scores()[score]
    for name in FACTS:
        codes, texts = measured.facts(name)
        columns[name] = pd.Categorical.from_codes(codes[score], pd.Index(texts))
    return pd.DataFrame(columns)


def _places(
    summary: StudySummary, measured: Measured, by: Sequence[str], records: Sequence[Record]
) -> Iterator[Place]:
    """Give the places that every row should have, in the study's order."""
    parts: dict[tuple[str, str], dict[tuple[str, ...], None]] = {}
    for of, task, part in measured.places:
        parts.setdefault((of, task), {})[part] = None
    lacking: dict[tuple[str, str], dict[tuple[str, ...], None]] = {}
    for record in records if by else ():
        key = (record.suite, record.task)
        if key not in parts:
            lacking.setdefault(key, {}).update(dict.fromkeys(labels(record.languages, tuple(by))))
    for suite in summary.suites:
        for name in suite.tasks:
            # A task that nobody measured takes the parts that it would have, if that is known.
            key = (suite.name, name)
            known = parts.get(key) or lacking.get(key) or {("",) * len(by): None}
            yield from ((suite.name, name, part) for part in known)


def _properties(
    summary: StudySummary, places: Sequence[Place], measured: Measured, overlap: Overlap | None
) -> dict[str, list[str]]:
    """Return the properties of each place, by the name of their column."""
    examples = measured.examples()
    # One split for all rows, so that they are compared on the same tasks.
    in_domain = summary.in_domain or ()
    tiers = {suite.name: suite.tier for suite in summary.suites}
    return {
        "suite": [suite for suite, _, _ in places],
        "tier": [tiers[suite] for suite, _, _ in places],
        "task": [task for _, task, _ in places],
        "domain": ["in-domain" if task in in_domain else "zero-shot" for _, task, _ in places],
        "leaked": [overlap.standing(task) if overlap else "" for _, task, _ in places],
        "type": [examples[one].task_type if one in examples else "" for one in places],
        "metric": [examples[one].metric if one in examples else "" for one in places],
    }


def _words(values: Sequence[str], order: npt.NDArray[np.int64]) -> pd.Categorical[str]:
    """Return the values that `order` points to, as categories in the order of first appearance."""
    import numpy as np
    import pandas as pd

    numbers: dict[str, int] = {}
    codes = np.array([numbers.setdefault(one, len(numbers)) for one in values], dtype=np.int64)
    return pd.Categorical.from_codes(codes[order], pd.Index(list(numbers)))
