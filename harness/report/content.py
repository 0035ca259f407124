"""Everything that a report says, before it has a form.

Owns `Report`: the three tables, the findings, and how they were made. The rule: it is a function of the
summary and the set of records, without clock, host or present package versions, so that a report rebuilt
in a year has the same bytes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from harness.identity import fingerprint
from harness.records.schema import Record
from harness.records.store import dump_records, merge
from harness.records.summary import StudySummary
from harness.report.findings import Finding, find
from harness.tables.build import build_table
from harness.tables.effects import Effect, main_effects
from harness.tables.queries import QueryScores
from harness.tables.table import Table
from harness.tables.views import delta_table, effect_table, interaction_table

_SIGNATURE_PACKAGES = ("sentence-transformers", "torch", "transformers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What every renderer lays out."""

    name: str
    question: str
    factors: dict[str, tuple[str, ...]]
    table: Table
    deltas: Table | None
    """Each row minus the baseline; None without a baseline or a second whole row."""
    effects: Table | None
    """Main effects on every column; None where no two rows differ in one factor only."""
    interactions: Table | None
    """Shares of variance of factors and their pairs; None unless the variants are a full grid."""
    primary_effects: tuple[Effect, ...]
    """Main effects on the primary column, with their estimates of noise."""
    findings: tuple[Finding, ...]
    settings: dict[str, dict[str, str]]
    """Group -> name -> value; what comes before the first dot of a setting is its group."""
    versions: dict[str, str]
    """Package -> version at the time of measuring; several are listed with commas."""
    evaluators: tuple[str, ...]
    num_records: int
    signature: str
    """One line that names the study, its extent, its evaluators and the hash of its records."""

    @property
    def tables(self) -> tuple[Table, ...]:
        """Return the tables that are there: the main one, differences, main effects, interactions."""
        found = (self.table, self.deltas, self.effects, self.interactions)
        return tuple(one for one in found if one is not None)


def build_report(
    summary: StudySummary, records: Sequence[Record], *, queries: QueryScores | None = None
) -> Report:
    """Return what a report on `summary` and `records` says.

    Args:
        summary: The study.
        records: Its measurements, in any order.
        queries: Its per-query scores; without them less can be tested.

    Raises:
        RecordError: If records contradict each other or do not fit the summary.
    """
    merged = merge(records)
    table = build_table(summary, merged, queries=queries)
    effects = (
        []
        if table.primary is None
        else main_effects(table, table.primary, factors=dict(summary.factors))
    )
    versions = _versions(merged)
    evaluators = tuple(sorted({record.evaluator for record in merged if record.evaluator}))
    return Report(
        name=summary.name,
        question=summary.question,
        factors=dict(summary.factors),
        table=table,
        deltas=delta_table(table),
        effects=effect_table(table, factors=summary.factors),
        interactions=interaction_table(table, factors=summary.factors),
        primary_effects=tuple(effects),
        findings=tuple(find(table, effects)),
        settings=_grouped(summary.settings),
        versions=versions,
        evaluators=evaluators,
        num_records=len(merged),
        signature=_sign(summary, merged, table, versions=versions, evaluators=evaluators),
    )


def _grouped(settings: dict[str, str]) -> dict[str, dict[str, str]]:
    groups: dict[str, dict[str, str]] = {}
    for setting, value in settings.items():
        group, dot, name = setting.partition(".")
        groups.setdefault(group if dot else "study", {})[name if dot else setting] = value
    return groups


def _versions(records: Sequence[Record]) -> dict[str, str]:
    found: dict[str, set[str]] = {}
    for record in records:
        for name, version in record.versions.items():
            found.setdefault(name, set()).add(version)
    return {name: ", ".join(sorted(found[name])) for name in sorted(found)}


def _sign(
    summary: StudySummary,
    records: Sequence[Record],
    table: Table,
    *,
    versions: dict[str, str],
    evaluators: Sequence[str],
) -> str:
    variants = sum(row.role == "variant" for row in table.rows)
    tasks = sum(column.kind == "task" for column in table.columns)
    seeds = sorted({seed for row in table.rows for seed in row.seeds})
    # How long a measurement took is no part of what was measured: a rerun signs the same.
    measured = [dataclasses.replace(record, wall_seconds=None, tokens=None) for record in records]
    digest = fingerprint([summary, dump_records(measured)])
    parts = [
        summary.name,
        f"{variants} variants + {len(table.rows) - variants} references x {tasks} tasks",
        "seeds " + (" ".join(str(seed) for seed in seeds) or "none"),
        *evaluators,
        *(f"{name} {versions[name]}" for name in _SIGNATURE_PACKAGES if name in versions),
        f"records {digest[:12]}",
    ]
    return " | ".join(parts)
