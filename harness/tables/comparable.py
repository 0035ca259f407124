"""Which rows were not measured or made in the same way as the row they are compared with.

Owns the check of evaluator, dataset revision, prompts, package versions and number of queries, task by
task, and of the quantities that follow from two rows' configurations, such as negatives a query or
optimiser steps. The rule: a difference in any of them is named, with both sides, whether or not it
moved the score. Differences in measuring forbid a comparison; quantities that follow from the factor
itself are named beside it, since the factor cannot be told from them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from harness.records.schema import Record
from harness.records.summary import StudySummary
from harness.tables.aggregate import TaskKey
from harness.tables.scores import Scores

_Facts = dict[tuple[str, str, str], set[str]]
"""(split, subset, field) -> the values that a row's members recorded."""

ALL_VERSIONS = "package versions"


def describe_differences(labels: Sequence[str], scores: Scores, *, baseline: int | None) -> list[str]:
    """Return for each row a sentence that names what differs from its reference, empty if nothing does.

    The reference of a task is the baseline where it has a score, else the first row that has one.
    """
    found: list[dict[tuple[str, str], list[str]]] = [{} for _ in labels]
    for task in scores.tasks:
        for index, reference, texts in _compare_rows(scores, task, baseline=baseline):
            for text in texts:
                found[index].setdefault((text, labels[reference]), []).append("/".join(task))
    return [_sentence(one, num_tasks=len(scores.tasks)) for one in found]


def _compare_rows(
    scores: Scores, task: TaskKey, *, baseline: int | None
) -> Iterator[tuple[int, int, Sequence[str]]]:
    """Give each row with its reference on one task, and in what the two differ.

    Rows that were measured in the same ways are compared once.
    """
    ways = scores.ways(task)
    if len(ways.examples) < 2:
        return
    rows = [
        frozenset(itertools.chain(*ways.of_members[span.start : span.stop])) for span in scores.spans
    ]
    order = itertools.chain([] if baseline is None else [baseline], range(len(rows)))
    reference = next(index for index in order if rows[index])

    @cache
    def compare(row: frozenset[int], is_reference: bool) -> list[str]:  # noqa: FBT001
        facts = [_facts([ways.examples[way] for way in sorted(one)]) for one in (row, rows[reference])]
        return _compare(facts[0], facts[1], is_reference=is_reference)

    for index, row in enumerate(rows):
        yield index, reference, compare(row, index == reference)


def differing_facts(records: Sequence[Record], base: Sequence[Record]) -> list[str]:
    """Return one text for each field in which two rows' records of one task were measured otherwise."""
    return _compare(_facts(records), _facts(base), is_reference=False)


def describe_derived(summary: StudySummary) -> dict[str, str]:
    """Return for each row a sentence on the derived quantities in which it differs from the baseline.

    Empty for references, and where nothing differs or nothing is known of one side.
    """
    base = next((row for row in summary.rows if row.label == summary.baseline), None)
    found = {row.label: "" for row in summary.rows}
    for row in summary.rows:
        if base is None or row.role == "reference" or not row.derived or not base.derived:
            continue
        texts = [
            f"{name} {row.derived.get(name, 'none')} against {base.derived.get(name, 'none')}"
            for name in dict.fromkeys((*base.derived, *row.derived))
            if row.derived.get(name) != base.derived.get(name)
        ]
        if texts:
            found[row.label] = f"Differs from the baseline in what follows too: {'; '.join(texts)}."
    return found


def _facts(records: Sequence[Record]) -> _Facts:
    facts: _Facts = {}
    for record in records:
        fields = {
            "evaluator": record.evaluator or "not recorded",
            "dataset revision": record.dataset_revision or "not recorded",
            "queries": "" if record.num_queries is None else str(record.num_queries),
            "metric direction": "higher is better" if record.higher_is_better else "lower is better",
        }
        if record.revision or record.prompt_hash:
            # Lines without a model, such as BM25, have no prompts to differ in.
            fields["prompts"] = record.prompt_hash or "none"
        if record.versions:
            fields.update({f"{name} version": version for name, version in record.versions.items()})
        else:
            fields[ALL_VERSIONS] = "not recorded"
        for name, value in fields.items():
            if value:
                facts.setdefault((record.split, record.subset, name), set()).add(value)
    return facts


def _compare(facts: _Facts, base: _Facts, *, is_reference: bool) -> list[str]:
    """Return one text for each field in which a row differs from its reference on one task."""
    texts: dict[str, None] = {}
    for (split, subset, name), values in sorted(facts.items()):
        shown = " and ".join(sorted(values))
        if is_reference or (split, subset, name) not in base:
            if len(values) > 1:
                texts[f"{name} not the same for all seeds ({shown})"] = None
            continue
        expected = base[split, subset, name]
        if values != expected:
            texts[f"{name} {shown} against {' and '.join(sorted(expected))}"] = None
    unrecorded = any(name == ALL_VERSIONS for *_, name in facts)
    if unrecorded and not any(name == ALL_VERSIONS for *_, name in base):
        texts[f"{ALL_VERSIONS} not recorded"] = None
    return list(texts)


def _sentence(found: Mapping[tuple[str, str], list[str]], *, num_tasks: int) -> str:
    by_reference: dict[str, list[str]] = {}
    for (text, reference), tasks in found.items():
        where = "all tasks" if len(tasks) == num_tasks else ", ".join(tasks)
        by_reference.setdefault(reference, []).append(f"{text} ({where})")
    return " ".join(
        f"Not measured in the same way as {reference}: {'; '.join(texts)}."
        for reference, texts in by_reference.items()
    )
