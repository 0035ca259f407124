"""From the artifacts of a plan to the records and the summary that tables are made from.

Owns `collect` and the two files `records.jsonl` and `study.json` of a study. The rule: every cell of
the study gets a record; one that has no score says why and which command brings it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.evaluation.scores import read_scores
from harness.execution.store import ArtifactStore
from harness.plan import Plan, PlanRow
from harness.plan.graph import Member
from harness.records.schema import Record
from harness.records.store import write_records
from harness.records.summary import Member as MemberSummary
from harness.records.summary import RowSummary, StudySummary, SuiteSummary, write_summary
from harness.stages.evaluate import SCORES_NAME
from harness.study import Study
from harness.study.catalogue import task_types


def collect(
    study: Study, plan: Plan, store: ArtifactStore, *, failures: Mapping[str, str] | None = None
) -> tuple[StudySummary, list[Record]]:
    """Return the study's summary and one or more records for each of its cells.

    Args:
        study: The study.
        plan: Its plan.
        store: Where its artifacts are.
        failures: Fingerprint of a failed step -> why, of the run that has just ended.
    """
    records: list[Record] = []
    for row in plan.rows:
        for member in row.members:
            for (suite, task), name in member.evaluations.items():
                shared = _shared(member, suite)
                if store.has("evaluate", name):
                    scores = read_scores(store.folder("evaluate", name) / SCORES_NAME)
                    records.extend(score.to_record(**shared) for score in scores)
                else:
                    records.append(_unscored(plan, study, name, task, shared, failures or {}))
    return _summarise(study, plan.rows), records


def write_study(summary: StudySummary, records: list[Record], folder: Path) -> None:
    """Write `study.json` and `records.jsonl`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_records(folder / "records.jsonl", records)
    write_summary(summary, folder / "study.json")


def _shared(member: Member, suite: str) -> dict[str, Any]:
    return {"variant": member.slug, "revision": member.model, "seed": member.seed, "suite": suite}


def _unscored(
    plan: Plan,
    study: Study,
    name: str,
    task: str,
    shared: Mapping[str, Any],
    failures: Mapping[str, str],
) -> Record:
    culprit = next((step for step in _lineage(plan, name) if step in failures), None)
    rerun = f"harness run {study.path}"
    if culprit is None:
        state, reason = "missing", f"not run yet: {rerun}"
    else:
        first_line = failures[culprit].splitlines()[0]
        state, reason = "failed", f"{plan.steps[culprit].name} failed ({first_line}): {rerun}"
    evaluator = study.suites[shared["suite"]].evaluator
    return Record(
        **shared,
        task=task,
        task_type=task_types().get(task, "Retrieval" if evaluator == "beir" else ""),
        split="test",
        subset="default",
        metric="",
        state=state,  # type: ignore[arg-type]
        reason=reason,
        evaluator=evaluator,
    )


def _lineage(plan: Plan, name: str) -> list[str]:
    """Return `name` and everything that it is made from."""
    found = [name]
    for step in found:
        found.extend(needed for needed in plan.steps[step].inputs.values() if needed not in found)
    return found


def _summarise(study: Study, rows: tuple[PlanRow, ...]) -> StudySummary:
    return StudySummary(
        name=study.name,
        question=study.question,
        factors=dict(study.factors),
        baseline=study.baseline,
        rows=tuple(
            RowSummary(
                label=row.label,
                levels=dict(row.levels),
                role="reference" if row.is_reference else "variant",
                members=tuple(
                    MemberSummary(slug=member.slug, revision=member.model, seed=member.seed)
                    for member in row.members
                ),
            )
            for row in rows
        ),
        suites=tuple(
            SuiteSummary(name=name, evaluator=suite.evaluator, tasks=suite.tasks)
            for name, suite in study.suites.items()
        ),
        settings=_settings(study),
    )


def _settings(study: Study) -> dict[str, str]:
    """Return the recipe fields in which no variant differs, as `dotted.path` -> text."""
    flat = [_flatten(dataclasses.asdict(variant.recipes[0])) for variant in study.variants]
    return {
        field: value
        for field, value in flat[0].items()
        if field != "seed" and value != "None" and all(other.get(field) == value for other in flat)
    }


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flatten(value, f"{prefix}{key}."))
        elif isinstance(value, tuple):
            flat[prefix + key] = ", ".join(map(str, value))
        else:
            flat[prefix + key] = str(value)
    return flat
