"""What a search found, as a study whose rows are its trials.

Owns the records of a search and the size of chance. The rule: each distinct point is a row like those of
any study, so that the best trial and the best row are one number from the same records; what was ended
early stays, as a reference line that nothing is compared with.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from msgspec import structs
from optuna.trial import FrozenTrial, TrialState

from harness.errors import HarnessError
from harness.execution.collect import collect, collect_per_query, write_study
from harness.execution.noted import note_plan, noted
from harness.plan import Plan, PlanRow, Step
from harness.records.schema import Record
from harness.records.summary import StudySummary
from harness.search.cells import Cells
from harness.search.ledger import FAILURE, SEED_VALUES, Ledger
from harness.search.stations import plan_stations


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """How far an objective moves when nothing but the training seed does."""

    deviation: float
    """Standard deviation over seeds, pooled over the points that have several."""
    degrees: int
    """Degrees of freedom behind it."""


def best_trials(ledger: Ledger) -> list[FrozenTrial]:
    """Return the trial with the best value, the first of equals; with several objectives the front."""
    if not ledger.trials(TrialState.COMPLETE):
        return []
    return ledger.study.best_trials if ledger.study._is_multi_objective() else [ledger.study.best_trial]


def measure_noise(cells: Cells, ledger: Ledger) -> Noise | None:
    """Return the seeds' share of the first objective; None where no point has several seeds."""
    groups = {
        _key(trial): [values[0] for values in trial.user_attrs.get(SEED_VALUES) or [trial.values]]
        for trial in ledger.trials(TrialState.COMPLETE)
    }
    for trial in best_trials(ledger)[:1]:
        groups[_key(trial)] = [*groups[_key(trial)], *repeated_values(cells, trial)]
    groups = {key: values for key, values in groups.items() if len(values) > 1}
    degrees = sum(len(values) - 1 for values in groups.values())
    if not degrees:
        return None
    squares = math.fsum(
        (value - statistics.fmean(values)) ** 2 for values in groups.values() for value in values
    )
    return Noise(deviation=math.sqrt(squares / degrees), degrees=degrees)


def repeats(cells: Cells) -> tuple[int, ...]:
    """Return the seeds with which the best trial is repeated."""
    return tuple(seed for seed in cells.search.noise_seeds if seed not in cells.seeds)


def repeated_values(cells: Cells, trial: FrozenTrial) -> list[float]:
    """Return the first objective of a trial's repeats, as far as they have been run."""
    found = []
    for seed in repeats(cells):
        try:
            found.append(cells.values(cells.plan(trial.params, seeds=[seed])).values[0])
        except HarnessError:
            continue
    return found


def collect_search(cells: Cells, ledger: Ledger) -> tuple[StudySummary, list[Record], Plan]:
    """Return summary, records and plan of the study whose rows are the trials."""
    rows: list[PlanRow] = []
    steps: dict[str, Step] = {}
    failures: dict[str, str] = {}
    reasons: dict[str, str] = {}
    seen: set[tuple[Any, ...]] = set()
    for trial in ledger.trials(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL):
        if _key(trial) in seen or trial.user_attrs.get(FAILURE, {}).get("kind") == "invalid":
            continue
        seen.add(_key(trial))
        plan = cells.plan(trial.params)
        if trial.state == TrialState.PRUNED:
            plan = _ended_early(cells, plan, trial, reasons)
        if trial.state == TrialState.FAIL:
            why = trial.user_attrs.get(FAILURE, {}).get("message", "unknown")
            failures.update(dict.fromkeys(evaluations_of(plan), why))
        rows.extend(plan.rows)
        steps.update(plan.steps)
    _add_repeats(cells, ledger, rows, steps)
    plan = Plan(study=cells.study.name, steps=steps, rows=tuple(rows))
    summary, records = collect(cells.study, plan, cells.store, failures=failures)
    command = f"harness search {cells.study.path}"
    records = [
        structs.replace(record, reason=reasons.get(record.variant, f"not scored yet: {command}"))
        if record.state == "missing"
        else record
        for record in records
    ]
    # Values that were drawn are no levels: a difference between two of them is no finding.
    return replace(summary, factors={}, baseline=None), records, plan


def write_results(cells: Cells, ledger: Ledger) -> tuple[StudySummary, list[Record]]:
    """Write the trials' records and summary into the store, as a study's, and return them."""
    summary, records, plan = collect_search(cells, ledger)
    folder = cells.store.study_folder(cells.study.name)
    per_query = collect_per_query(plan, cells.store, records)
    write_study(summary, records, folder, per_query=per_query)
    note_plan(cells.store.home, noted(plan))
    return summary, records


def _ended_early(cells: Cells, plan: Plan, trial: FrozenTrial, reasons: dict[str, str]) -> Plan:
    """Return what a pruned trial left: the models at its last rung, or those of its end."""
    passed = [
        one
        for one in plan_stations(cells, plan)
        if one.is_rung and one.step in trial.intermediate_values
    ]
    plan = passed[-1].plan if passed else plan
    rows = []
    for row in plan.rows:
        label = row.label if passed else f"{row.label} (ended early)"
        rows.append(structs.replace(row, label=label, is_reference=True, levels={}))
        reasons.update({one.slug: "the search ended this trial early" for one in row.members})
    return replace(plan, rows=tuple(rows))


def _add_repeats(cells: Cells, ledger: Ledger, rows: list[PlanRow], steps: dict[str, Step]) -> None:
    for trial in best_trials(ledger)[:1]:
        seeds = repeats(cells)
        if not seeds:
            return
        plan = cells.plan(trial.params, seeds=seeds)
        if cells.has_scores(evaluations_of(plan)):
            (row,) = plan.rows
            label = "the best, other seeds"
            rows.append(structs.replace(row, label=label, levels={}, is_reference=True))
            steps.update(plan.steps)


def evaluations_of(plan: Plan) -> list[str]:
    """Return the evaluations of all of a plan's rows, by fingerprint."""
    return [name for row in plan.rows for one in row.members for name in one.evaluations.values()]


def _key(trial: FrozenTrial) -> tuple[Any, ...]:
    return tuple(sorted(trial.params.items()))


def describe_trials(trials: Iterable[FrozenTrial]) -> list[dict[str, Any]]:
    """Return trials as plain values, for people's programs."""
    return [
        {
            "trial": trial.number,
            "state": trial.state.name.lower(),
            "values": trial.values,
            "params": dict(trial.params),
            "reported": {str(step): value for step, value in trial.intermediate_values.items()},
            "failure": trial.user_attrs.get(FAILURE),
        }
        for trial in trials
    ]
