"""What was measured of a study, as numbers.

Owns `Measured`: the records of a metric, each with the model and the place (suite, task and maybe a part
of it) that it belongs to, and what follows for the scores. The rule: the score of a model at a place
is the mean over splits and subsets, and is there only with all of them that any model has there or is
known to lack.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.records.schema import Record, broad_state
from harness.records.summary import StudySummary
from harness.tables.aggregate import group_means
from harness.tables.language_groups import labels

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    IntArray = npt.NDArray[np.int64]
    FloatArray = npt.NDArray[np.float64]

FACTS = ("evaluator", "dataset_revision", "prompt_hash", "versions")
"""What must be alike where scores are compared."""

Model = tuple[str, int | None]
"""Slug and seed."""
Place = tuple[str, str, tuple[str, ...]]
"""Suite, task and, for each axis by which tasks fall into parts, the part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The measurements of a study, a line a record and part of a task that it counts in."""

    models: Mapping[Model, int]
    places: Mapping[Place, int]
    """In the order of the records."""
    records: Sequence[Record]
    """Behind each line."""
    model: IntArray
    """[lines]"""
    place: IntArray
    """[lines]"""

    def examples(self) -> dict[Place, Record]:
        """Return the first record of each place."""
        found: dict[int, Record] = {}
        for place, record in zip(self.place.tolist(), self.records, strict=True):
            found.setdefault(place, record)
        return {name: found[number] for name, number in self.places.items()}

    def number(self, model: IntArray, place: IntArray) -> IntArray:
        """Return the numbers of scores; the last one, which has none, where a place has none."""
        import numpy as np

        return np.where(place < 0, -1, model * len(self.places) + place)

    def scores(self) -> FloatArray:
        """Return each score by number, one more at the end; NaN unless all parts are there."""
        import numpy as np

        found = self._empty(np.nan)
        if not self.records:
            return found
        parts: dict[tuple[str, str], int] = {}
        part = np.array([parts.setdefault((one.split, one.subset), len(parts)) for one in self.records])
        num_parts = np.bincount(np.unique(self.place * len(parts) + part) // len(parts))
        values = np.array([one.value for one in self.records], dtype=np.float64)
        score = self.number(self.model, self.place)
        numbers, means = group_means(values, score)
        is_whole = np.bincount(score)[numbers] == num_parts[numbers % len(self.places)]
        found[numbers[is_whole]] = means[is_whole]
        return found

    def facts(self, name: str) -> tuple[IntArray, list[str]]:
        """Return one of `FACTS` for each score by number, and the texts that its codes stand for.

        Where parts of a score differ in it, the text lists all; -1 where there is no record.
        """
        import numpy as np

        texts: dict[str, int] = {}
        told = _told(name, self.records)
        code = np.array([texts.setdefault(one, len(texts)) for one in told], dtype=np.int64)
        score = self.number(self.model, self.place)
        numbers, first = np.unique(score, return_index=True)
        found = self._empty(-1).astype(np.int64)
        found[numbers] = code[first]
        listed = list(texts)
        order = np.argsort(score, kind="stable")
        for number in np.unique(score[code != found[score]]):
            inside = slice(*np.searchsorted(score[order], [number, number + 1]))
            several = sorted({listed[one] for one in code[order[inside]]})
            found[number] = texts.setdefault(" and ".join(several), len(texts))
        return found, list(texts)

    def _empty(self, value: float) -> FloatArray:
        import numpy as np

        return np.full(len(self.models) * len(self.places) + 1, value)


def read_measured(
    summary: StudySummary, records: Sequence[Record], *, metric: str, by: Sequence[str]
) -> Measured:
    """Return what `records` hold of the study's tasks in a metric; the main ones if it is empty.

    Args:
        summary: The study.
        records: Its records, each key once.
        metric: Name of a metric, or nothing.
        by: Of `PART_AXES`: by what tasks fall into parts.
    """
    import numpy as np

    models: dict[Model, int] = {}
    revisions: dict[Model, str] = {}
    for row in summary.rows:
        for member in row.members:
            model = (member.slug, member.seed)
            models.setdefault(model, len(models))
            revisions[model] = member.revision
    tasks = {(suite.name, task) for suite in summary.suites for task in suite.tasks}
    places: dict[Place, int] = {}
    lines: list[tuple[Record, int, int]] = []
    for record in records:
        model = (record.variant, record.seed)
        if (
            (record.value is None and not _is_lacking(record))
            or not (record.metric == metric if metric else record.is_main)
            or model not in models
            or (record.suite, record.task) not in tasks
        ):
            continue
        if record.revision and revisions[model] and record.revision != revisions[model]:
            continue
        for part in labels(record.languages, tuple(by)):
            place = places.setdefault((record.suite, record.task, part), len(places))
            lines.append((record, models[model], place))
    return Measured(
        models=models,
        places=places,
        records=[record for record, _, _ in lines],
        model=np.array([model for _, model, _ in lines], dtype=np.int64),
        place=np.array([place for _, _, place in lines], dtype=np.int64),
    )


def _is_lacking(record: Record) -> bool:
    """Return whether a part of a task has no score though the task was evaluated.

    Such a part is one that should be there, also where it lacks in all rows alike.
    """
    return bool(record.metric) and broad_state(record.state) in {"failed", "missing"}


def _told(name: str, records: Sequence[Record]) -> list[str]:
    """Return one of `FACTS` of each record as text."""
    if name != "versions":
        return [getattr(record, name) for record in records]
    known: dict[tuple[tuple[str, str], ...], str] = {}
    found = []
    for record in records:
        items = tuple(record.versions.items())
        if items not in known:
            known[items] = str(sorted(items))
        found.append(known[items])
    return found
