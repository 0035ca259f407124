"""From the artifacts of a plan to the records and the summary that tables are made from.

Owns `collect` and the files `records.jsonl`, `study.json` and `per_query.parquet` of a study. The rule:
every cell of the study gets a record; one that has no score says why and which command brings it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.evaluation.scores import read_scores
from harness.execution.configuration import describe_row, flatten, split_shared
from harness.execution.store import ArtifactStore
from harness.plan import Plan
from harness.plan.graph import Member
from harness.plan.quantities import derive_quantities
from harness.records.per_query import PER_QUERY_NAME, PUBLISHED_EXTRAS, owned, write_study_scores
from harness.records.schema import Record
from harness.records.store import write_records
from harness.records.summary import Member as MemberSummary
from harness.records.summary import RowSummary, StudySummary, SuiteSummary, write_summary
from harness.stages.evaluate import SCORES_NAME
from harness.study import Study
from harness.study.benchmarks import Limits
from harness.study.catalogue import task_types
from harness.study.task_facts import subset_languages
from harness.study.training_sets import declared_in_domain

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What a run said of the steps that have no artifact."""

    failures: Mapping[str, str]
    """Fingerprint -> why."""
    lacking: Collection[str]
    """Those of them whose data is not there."""


def collect(
    study: Study,
    plan: Plan,
    store: ArtifactStore,
    *,
    failures: Mapping[str, str] | None = None,
    lacking: Collection[str] = (),
) -> tuple[StudySummary, list[Record]]:
    """Return the study's summary and one or more records for each of its cells.

    Args:
        study: The study.
        plan: Its plan.
        store: Where its artifacts are.
        failures: Fingerprint of a failed step -> why, of the run that has just ended.
        lacking: Those of them whose data is not there.
    """
    told = _Told(failures=failures or {}, lacking=lacking)
    records: list[Record] = []
    store.foresee("evaluate", (name for name, step in plan.steps.items() if step.stage == "evaluate"))
    for row in plan.rows:
        for member in row.members:
            for (suite, task), name in member.evaluations.items():
                shared = _shared(member, suite)
                if store.has("evaluate", name):
                    scores = read_scores(store.fetch("evaluate", name) / SCORES_NAME)
                    records.extend(score.to_record(**shared) for score in scores)
                else:
                    records.extend(_unscored(plan, study, name, task, shared, told))
    return _summarise(study, plan), records


def collect_per_query(plan: Plan, store: ArtifactStore, records: Sequence[Record]) -> list[pa.Table]:
    """Return the per-query scores of a study's evaluations, one table each.

    Only the main metric of each task and a few more are kept; the store has all of them.
    """
    mains: dict[tuple[str, str], set[str]] = {}
    for record in records:
        if record.is_main and record.state == "ok":
            mains.setdefault((record.suite, record.task), set()).add(record.metric)
    tables = []
    for row in plan.rows:
        for member in row.members:
            for (suite, task), name in member.evaluations.items():
                if not store.has("evaluate", name):
                    continue
                path = store.fetch("evaluate", name) / PER_QUERY_NAME
                metrics = sorted(mains.get((suite, task), set()) | set(PUBLISHED_EXTRAS))
                if path.is_file():
                    table = owned(
                        path, metrics=metrics, variant=member.slug, seed=member.seed, suite=suite
                    )
                    tables.append(table)
    return tables


def write_study(
    summary: StudySummary,
    records: list[Record],
    folder: Path,
    *,
    per_query: Sequence[pa.Table] = (),
) -> None:
    """Write `study.json`, `records.jsonl` and, where there are any, the per-query scores."""
    folder.mkdir(parents=True, exist_ok=True)
    write_records(folder / "records.jsonl", records)
    write_study_scores(folder / PER_QUERY_NAME, per_query)
    write_summary(summary, folder / "study.json")


def _shared(member: Member, suite: str) -> dict[str, Any]:
    return {"variant": member.slug, "revision": member.model, "seed": member.seed, "suite": suite}


def _unscored(
    plan: Plan,
    study: Study,
    name: str,
    task: str,
    shared: Mapping[str, Any],
    told: _Told,
) -> Iterator[Record]:
    """Yield a record without value for each subset of a task: each language shows what it lacks."""
    behind = (*plan.lineage(name), *(plan.steps[name].after if name else ()))
    culprit = next((step for step in behind if step in told.failures), None)
    rerun = f"harness run {study.path}"
    if culprit is None:
        state, reason = "missing", f"not run yet: {rerun}"
    else:
        first_line = told.failures[culprit].splitlines()[0]
        state, reason = "failed", f"{plan.steps[culprit].name} failed ({first_line}): {rerun}"
        if culprit in told.lacking:
            bring = f"harness prefetch {study.path} --to MIRROR"
            state = "missing"
            reason = f"{first_line}: {bring}, then harness retry {study.path} --missing"
    evaluator = study.suites[shared["suite"]].evaluator
    languages = subset_languages(task if evaluator == "mteb" else "")
    for subset in Limits.of(plan.steps[name].config if name else {}).subsets or languages:
        yield Record(
            **shared,
            task=task,
            task_type=task_types().get(task, "Retrieval" if evaluator == "beir" else ""),
            split="test",
            subset=subset,
            languages=languages.get(subset, ()),
            metric="",
            state=state,  # type: ignore[arg-type]
            reason=reason,
            evaluator=evaluator,
        )


def _summarise(study: Study, plan: Plan) -> StudySummary:
    trained = [row for row in plan.rows if not row.is_reference]
    shared, own = split_shared([describe_row(plan, row) for row in trained])
    configs = [*own, *(describe_row(plan, row) for row in plan.rows if row.is_reference)]
    rows = [*trained, *(row for row in plan.rows if row.is_reference)]
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
                config=config,
                derived=derive_quantities(plan, row),
            )
            for row, config in zip(rows, configs, strict=True)
        ),
        suites=tuple(
            SuiteSummary(
                name=name,
                evaluator=suite.evaluator,
                tasks=suite.tasks,
                benchmark=suite.benchmark or "",
            )
            for name, suite in study.suites.items()
        ),
        in_domain=in_domain_tasks(study),
        settings=_settings(study),
        config=shared,
    )


def in_domain_tasks(study: Study) -> tuple[str, ...] | None:
    """Return the tasks that are in-domain for some variant; None if a source does not say."""
    recipes = [recipe for variant in study.variants for recipe in variant.recipes]
    used = {data.source for recipe in recipes for data in (recipe.data, recipe.weak_data) if data}
    stated = [declared_in_domain(name, study.sources) for name in sorted(used)]
    known = [tasks for tasks in stated if tasks is not None]
    return tuple(sorted({task for tasks in known for task in tasks})) if known == stated else None


def _settings(study: Study) -> dict[str, str]:
    """Return the recipe fields in which no variant differs, as `dotted.path` -> text."""
    flat = [flatten(dataclasses.asdict(variant.recipes[0])) for variant in study.variants]
    return {
        field: value
        for field, value in flat[0].items()
        if field != "seed" and value != "None" and all(other.get(field) == value for other in flat)
    }
