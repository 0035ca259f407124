"""What is to be said under the table of a suite.

Owns the sentences: blanks with their states and files, numbers that stand under a remark, and what a
union of revisions was made of. The rule: a sentence names the model, the revision and the file, so that
it can be read without the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from harness.tables.suite_gaps import Gap
from harness.tables.suite_scores import SuiteScores

if TYPE_CHECKING:
    import pandas as pd

    from harness.tables.suite_union import Union

_REMARKS = {
    "recorded_main_differs": "another main score is recorded than {metrics}",
    "other_spelling": "the model's own similarity, taken for the cosine, is behind {metrics}",
    "judged_without_results": "judged queries without results count as 0 in {metrics}",
}
"""Remark -> what it says; `duplicate_revision` has a sentence of its own."""


def describe_rows(
    scores: SuiteScores, gaps: Mapping[tuple[int, int], Gap], *, united: Union | None
) -> list[tuple[str, ...]]:
    """Return the sentences for each row of the table.

    Args:
        scores: The table's rows.
        gaps: Why values are not there.
        united: Where the values of a union came from; None where each revision has its line.
    """
    told: list[list[str]] = [[] for _ in scores.rows]
    by_row: dict[int, list[Gap]] = {}
    for (row, _), gap in gaps.items():
        by_row.setdefault(row, []).append(gap)
    for row, own in by_row.items():
        told[row] += _describe_gaps(own)
    if united is None:
        for row, sentences in _describe_remarks(scores).items():
            told[row] += sentences
    else:
        for row, counts in enumerate(united.sources):
            told[row] += _describe_union(counts, united.unused[row])
    return [tuple(sentences) for sentences in told]


def _describe_gaps(gaps: Iterable[Gap]) -> list[str]:
    sentences: dict[str, list[str]] = {}
    for gap in sorted(gaps, key=lambda one: one.task):
        if gap.state == "missing" and gap.files:
            sentences.setdefault(gap.folder, []).extend(gap.files)
    told = [f"missing: {folder}/ has no {_listed(files)}" for folder, files in sorted(sentences.items())]
    for gap in sorted(gaps, key=lambda one: (one.state, one.task)):
        if gap.state == "missing" and gap.files:
            continue
        lacking = f"; {gap.folder}/ has no {_listed(gap.files)}" if gap.files else ""
        told.append(f"{gap.state}: {gap.task}: {gap.reason}{lacking}")
    return told


def _describe_remarks(scores: SuiteScores) -> dict[int, list[str]]:
    """Return what records remark on the values that are shown."""
    frame = scores.frame
    shown = frame.loc[(frame["cell"] >= 0) & (frame["state"] == "ok")]
    shown = shown.sort_values("rank", kind="stable").drop_duplicates(["row", "seed", "cell"])
    told: dict[int, list[str]] = {}
    remarked = shown.loc[shown["remarks"] != "[]"]
    if len(remarked):
        for remark, sentence in _REMARKS.items():
            own = remarked.loc[remarked["remarks"].str.contains(remark, regex=False)]
            for row, group in own.groupby("row"):
                metrics = _listed(sorted(set(group["metric"])))
                files = _listed(sorted(set(group["source"])))
                told.setdefault(int(str(row)), []).append(
                    f"{remark}: {sentence.format(metrics=metrics)}, which is shown: {files}"
                )
        for row, sentence in _describe_duplicates(scores, remarked):
            told.setdefault(row, []).append(sentence)
    for row, sentence in [*_describe_other_splits(scores, shown), *_describe_parts(scores, shown)]:
        told.setdefault(row, []).append(sentence)
    return told


def _describe_duplicates(scores: SuiteScores, remarked: pd.DataFrame) -> Iterable[tuple[int, str]]:
    own = remarked.loc[remarked["remarks"].str.contains('"duplicate_revision"', regex=False)]
    revisions: dict[str, list[str]] = {}
    for key in scores.rows:
        revisions.setdefault(key.model, []).append(key.revision)
    for row, group in own.groupby("row"):
        key = scores.rows[int(str(row))]
        others = [one for one in revisions[key.model] if one != key.revision]
        yield (
            int(str(row)),
            f"duplicate_revision: {group['task'].nunique()} of its tasks are also in {_listed(others)}",
        )


def _describe_other_splits(scores: SuiteScores, shown: pd.DataFrame) -> Iterable[tuple[int, str]]:
    usual = np.array([cell.split for cell in scores.wanted.cells], dtype=object)
    accepted = shown.loc[shown["split"].to_numpy(dtype=object) != usual[shown["cell"].to_numpy()]]
    for row, source, split, cell in zip(
        accepted["row"], accepted["source"], accepted["split"], accepted["cell"], strict=True
    ):
        yield int(row), f"{source}: split {split} stands for {usual[cell]}"


def _describe_parts(scores: SuiteScores, shown: pd.DataFrame) -> Iterable[tuple[int, str]]:
    """Yield a sentence for each aggregate that has its value from one of its two sources alone."""
    there = set(zip(shown["row"].tolist(), shown["task"].tolist(), strict=True))
    for index, parts in scores.part_values.items():
        facts = scores.wanted.tasks[index].facts
        for row in range(len(scores.rows)):
            if not scores.folders[row] or np.isnan(scores.values[row, index]):
                continue
            if np.isnan(parts[row]).any():
                yield row, f"{facts.name}: the aggregate's own file, for none of its parts is there"
            elif (row, facts.name) not in there:
                yield row, f"{facts.name}: the mean of its parts; {facts.name}.json is not there"


def _describe_union(counts: Mapping[str, int], unused: Iterable[str]) -> list[str]:
    told = []
    if counts:
        origins = _listed(f"{count} from {name or 'no revision'}" for name, count in counts.items())
        told.append(f"union: {origins}")
    left = sorted(unused)
    return [*told, f"not used: {_listed(left)}"] if left else told


def _listed(items: Iterable[str]) -> str:
    return ", ".join(items)
