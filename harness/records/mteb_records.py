"""From one result file of mteb to records.

Owns which of a file's numbers become records, and the names of what is wrong with the others. The rule:
nothing is guessed. A split, subset or metric that is asked for and not there is a record without a
value, whose state says so and whose source is the file; no other split, subset or metric stands in.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from msgspec import structs

from harness.records.facts import MAIN_SCORE, TaskFacts, find_suite, published_metric, task_facts
from harness.records.layout import Place
from harness.records.mteb_files import Entry, ResultFile, UnreadableError, parse_result
from harness.records.schema import Record, Remark, State

FORMER_MAIN_SCORE = "former_main_score"
"""The main score that a file of mteb before 1.11 records, where it is another metric than mteb's main
score of the task: toxicity classification recorded average precision. Kept, and shown by no table."""

_EXPECTED_BY = ("MTEB(eng, v1)", "MTEB(eng, v2)", "NanoBEIR")
"""Suites whose splits and subsets every file of their tasks is expected to hold."""

_SAME_SPLITS = {"dev": ("dev", "validation"), "validation": ("validation", "dev")}

_BOUNDED = re.compile(
    r"accuracy|f1|ap|v_measure|.*_(ap|f1|accuracy|spearman|pearson)|(ndcg|map|mrr|recall|precision)_at_\d+"
    r"|max_over_subqueries_map_at_1000"
)
"""Metrics that lie between -1 and 1 by definition."""

_AGREEMENT = 1e-6
"""Two numbers of one file that differ by less are one number, rounded twice."""


def same_splits(split: str) -> tuple[str, ...]:
    """Return the names under which producers keep a split, the usual one first."""
    return _SAME_SPLITS.get(split, (split,))


def records_of(place: Place, content: bytes) -> list[Record]:
    """Return the records of one file: one a split, subset and metric that some suite asks for."""
    facts = task_facts().get(place.task)
    try:
        file = parse_result(content)
        if file.task and file.task != place.task:
            raise UnreadableError(f"it is named {place.task}.json and holds the task {file.task}")
    except UnreadableError as error:
        return [_record(place, facts, state="unreadable", reason=f"{place.source}: {error}")]
    common = {
        "dataset_revision": file.dataset_revision,
        "evaluator": file.evaluator,
        "wall_seconds": file.seconds,
    }
    records = _one_each(
        _record(place, facts, entry=entry, **common, **fields)
        for entry in file.entries
        for fields in _measured(entry, file, facts, place)
    )
    if facts is not None:
        records.extend(_absent(place, facts, file, common))
    return records


def unread(place: Place, error: OSError) -> Record:
    """Return what stands for a file that cannot be opened."""
    reason = f"{place.source}: {error.strerror}"
    return _record(place, task_facts().get(place.task), state="unreadable", reason=reason)


def explain_absence(
    source: str, *, split: str, subset: str, held: Iterable[tuple[str, str]]
) -> tuple[State, str]:
    """Return the state and the reason of a split and subset that a file does not hold.

    Args:
        source: The file.
        split: The split that is asked for.
        subset: The subset that is asked for.
        held: Each split and subset of the file.
    """
    held = sorted(set(held))
    if any(one in same_splits(split) for one, _ in held):
        listed = _listed(sorted({two for one, two in held if one in same_splits(split)}))
        return "missing_subset", f"{source}: subset {subset} is not there; there is {listed}"
    listed = _listed(sorted({one for one, _ in held}))
    return "missing_split", f"{source}: split {split} is not there; there is {listed}"


def mark_partial_aggregates(records: Iterable[Record]) -> list[Record]:
    """Return the records of one model and revision, aggregates beside some of their parts without value.

    An aggregate is as complete as the folder that it was made in, so the parts beside it have to be all
    there, or none of them.
    """
    records = list(records)
    present = {one.task for one in records if one.state == "ok" and one.is_main}
    marked = []
    for record in records:
        facts = task_facts().get(record.task)
        lacking = [part for part in facts.parts if part not in present] if facts else []
        if facts is None or record.state != "ok" or not 0 < len(lacking) < len(facts.parts):
            marked.append(record)
            continue
        reason = (
            f"{record.source}: the aggregate {record.value} stands beside "
            f"{len(facts.parts) - len(lacking)} of its {len(facts.parts)} parts; "
            f"there is no {_listed([f'{part}.json' for part in lacking])}"
        )
        marked.append(structs.replace(record, value=None, state="partial_aggregate", reason=reason))
    return marked


def _one_each(records: Iterable[Record]) -> list[Record]:
    """Return the records of one file, one a measurement, without value where the file has several.

    Some files hold a split and subset twice, once as the author gave it and once from a rerun.
    """
    groups: dict[tuple[object, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(record.key, []).append(record)
    found = []
    for group in groups.values():
        first, *others = group
        if all(one.state == first.state and _agree_if_any(first.value, one.value) for one in others):
            found.append(first)
            continue
        told = _listed(str(one.state if one.value is None else one.value) for one in group)
        reason = (
            f"{first.source}: {first.split}/{first.subset} stands in it {len(group)} times, with {told}"
        )
        found.append(structs.replace(first, value=None, state="two_values", reason=reason, remarks=()))
    return found


def _agree_if_any(one: float | None, other: float | None) -> bool:
    return one == other if one is None else _agree(one, other)


def _measured(
    entry: Entry, file: ResultFile, facts: TaskFacts | None, place: Place
) -> Iterator[dict[str, Any]]:
    recorded = entry.find(MAIN_SCORE)
    if facts is None:
        yield {"metric": MAIN_SCORE, **_outcome(recorded, MAIN_SCORE, entry, place)}
        return
    main = entry.find(facts.metric)
    differs = recorded is not None and not math.isnan(recorded) and not _agree(recorded, main)
    remarks: tuple[Remark, ...] = ("recorded_main_differs",) if differs else ()
    yield {
        "metric": facts.metric,
        "remarks": remarks,
        **_outcome(main, facts.metric, entry, place),
    }
    published = published_metric(facts)
    if published != facts.metric:
        yield {"metric": published, "is_main": False, **_published(published, entry, place)}
    if differs:
        metric = MAIN_SCORE if file.layout == "scores" else FORMER_MAIN_SCORE
        yield {"metric": metric, "is_main": False, **_outcome(recorded, facts.metric, entry, place)}


def _published(metric: str, entry: Entry, place: Place) -> dict[str, Any]:
    found = entry.find(metric)
    if found is not None:
        return _outcome(found, metric, entry, place)
    # The model's own similarity, which is the cosine for all but a few.
    other = entry.find(metric.replace("cosine_", "similarity_"))
    outcome = _outcome(other, metric, entry, place)
    return outcome | ({"remarks": ("other_spelling",)} if outcome.get("value") is not None else {})


def _outcome(found: float | None, metric: str, entry: Entry, place: Place) -> dict[str, Any]:
    where = f"{place.source}: {entry.split}/{entry.subset}"
    if found is None:
        names = sorted(
            name
            for name, value in entry.metrics.items()
            if isinstance(value, float | int | dict) and name != "evaluation_time"
        )
        return {"state": "other_metric", "reason": f"{where} has no {metric}; it has {_listed(names)}"}
    if not math.isfinite(found):
        return {"state": "not_a_number", "reason": f"{where}: {metric} is no number"}
    if _BOUNDED.fullmatch(metric) and not -1 - _AGREEMENT <= found <= 1 + _AGREEMENT:
        return {"state": "out_of_range", "reason": f"{where}: {metric} is {found}, not between -1 and 1"}
    return {"value": found}


def _absent(
    place: Place, facts: TaskFacts, file: ResultFile, common: dict[str, Any]
) -> Iterator[Record]:
    held = [(entry.split, entry.subset) for entry in file.entries]
    for split, subset in sorted(_expected().get(place.task, ())):
        if any((one, subset) in held for one in same_splits(split)):
            continue
        state, reason = explain_absence(place.source, split=split, subset=subset, held=held)
        for metric in sorted({facts.metric, published_metric(facts)}):
            yield _record(
                place,
                facts,
                split=split,
                subset=subset,
                metric=metric,
                is_main=metric == facts.metric,
                state=state,
                reason=reason,
                **common,
            )


@cache
def _expected() -> dict[str, frozenset[tuple[str, str]]]:
    expected: dict[str, set[tuple[str, str]]] = {}
    for name in _EXPECTED_BY:
        for task in find_suite(name).tasks:
            cells = {(split, subset) for split in task.splits for subset in task.subsets}
            expected.setdefault(task.name, set()).update(cells)
    return {name: frozenset(cells) for name, cells in expected.items()}


def _record(
    place: Place, facts: TaskFacts | None, *, entry: Entry | None = None, **fields: Any
) -> Record:
    if entry is not None:
        languages = entry.languages or (facts.languages if facts else ())
        fields |= {"split": entry.split, "subset": entry.subset, "languages": languages}
    return Record(
        variant=place.model,
        revision=place.revision,
        seed=None,
        suite="",
        task=place.task,
        task_type=facts.task_type if facts else "",
        source=place.source,
        **{"split": "", "subset": "", "metric": facts.metric if facts else MAIN_SCORE, **fields},
    )


def _agree(one: float, other: float | None) -> bool:
    return other is not None and not math.isnan(other) and abs(one - other) <= _AGREEMENT


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
