"""One line a model where its results lie in several revisions.

Owns the union of a model's revisions under a preference that the reader states. The rule: a value comes
whole from one revision, the first in the stated order that has it; revisions of one rank that disagree
leave the place blank with both shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.errors import RecordError
from harness.tables.suite_gaps import Gap
from harness.tables.suite_scores import RowKey, SuiteScores, aggregate

_NONE = frozenset({"no_revision_available", ""})
"""Revisions of results that were kept without one."""

_Gaps = dict[tuple[int, int], Gap]


@dataclass(frozen=True, slots=True, kw_only=True)
class Union:
    """Scores with one row a model, and where each came from."""

    scores: SuiteScores
    gaps: _Gaps
    sources: tuple[dict[str, int], ...]
    """For each row, how many values came from each revision."""
    unused: tuple[tuple[str, ...], ...]
    """For each row, the model's revisions that the preference does not name."""


def unite(scores: SuiteScores, gaps: _Gaps, *, preference: Sequence[str]) -> Union:
    """Return the union of each model's revisions.

    Args:
        scores: One row a model and revision.
        gaps: Why values of `scores` are not there.
        preference: Revisions by name, or the words `external`, `none` (results kept without a revision)
            and `revision` (any other), the preferred first. Those not named are not used.

    Raises:
        RecordError: If the preference is empty or names something twice.
    """
    if not preference or len(set(preference)) != len(preference):
        raise RecordError(
            f"no order of revisions: {','.join(preference)!r}",
            cure="give each once, as in --union revision,external,none",
        )
    models: dict[str, list[int]] = {}
    for index, row in enumerate(scores.rows):
        models.setdefault(row.model, []).append(index)
    name = f"UNION({','.join(preference)})"
    values = np.full((len(models), scores.values.shape[1]), np.nan)
    united: _Gaps = {}
    sources: list[dict[str, int]] = []
    unused = []
    for place, members in enumerate(models.values()):
        ranked = _ranked(scores, members, preference)
        used = [index for group in ranked for index in group]
        counts: dict[str, int] = {}
        for task in range(values.shape[1]):
            chosen, gap = _choose(scores, gaps, ranked, task)
            if chosen is not None:
                values[place, task] = scores.values[chosen, task]
                revision = scores.rows[chosen].revision
                counts[revision] = counts.get(revision, 0) + 1
                continue
            parts = _parts(scores, used, task)
            if parts is not None and gap.state != "duplicate_revision":
                values[place, task] = parts
                counts["parts of several"] = counts.get("parts of several", 0) + 1
            else:
                united[place, task] = gap
        sources.append(counts)
        unused.append(tuple(scores.rows[one].revision for one in members if one not in used))
    rows = tuple(RowKey(model=model, revision=name) for model in models)
    return Union(
        scores=replace(scores, rows=rows, values=values, part_values={}),
        gaps=united,
        sources=tuple(sources),
        unused=tuple(unused),
    )


def _ranked(scores: SuiteScores, members: Sequence[int], preference: Sequence[str]) -> list[list[int]]:
    """Return the rows of a model in the order of the preference, those of one rank together."""
    return [
        [one for one in members if _is_meant(scores.rows[one].revision, word, preference)]
        for word in preference
    ]


def _is_meant(revision: str, word: str, preference: Sequence[str]) -> bool:
    """Return whether a word of a preference stands for a revision."""
    if word == "none":
        return revision in _NONE
    if word == "revision":
        return revision not in {*preference, *_NONE, "external"} - {"revision", "none"}
    return revision == word


def _choose(
    scores: SuiteScores, gaps: _Gaps, ranked: Sequence[Sequence[int]], task: int
) -> tuple[int | None, Gap]:
    """Return the row whose value counts, or None and why there is none."""
    name = scores.wanted.tasks[task].facts.name
    told = Gap(task=name, state="missing", reason="in none of the revisions")
    for group in ranked:
        there = [row for row in group if not np.isnan(scores.values[row, task])]
        if len({float(scores.values[row, task]) for row in there}) > 1:
            both = "; ".join(f"{scores.rows[row].revision}: {scores.values[row, task]}" for row in there)
            reason = f"revisions of one rank disagree on {name} ({both}); name the one that counts"
            return None, Gap(task=name, state="duplicate_revision", reason=reason)
        if there:
            return there[0], told
        if told.state == "missing":
            told = next((gaps[row, task] for row in group if (row, task) in gaps), told)
    return None, told


def _parts(scores: SuiteScores, used: Sequence[int], task: int) -> float | None:
    """Return the mean of an aggregate's parts, each from the first revision that has it."""
    values = scores.part_values.get(task)
    if values is None or not used:
        return None
    first = []
    for part in range(values.shape[1]):
        column = values[list(used), part]
        there = column[~np.isnan(column)]
        if not len(there):
            return None
        first.append(there[:1])
    return float(aggregate(first[0] * np.nan, first)[0])
