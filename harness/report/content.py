"""Everything that a report says, before it has a form.

Owns `Report`: the tables, the findings, and how they were made. The rule: it is a function of the
summary and the set of records, without clock, host or present package versions, so that a report rebuilt
in a year has the same bytes. What a format does not show is not worked out for it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cached_property

from harness.identity import canonical_json
from harness.records.overlap import Overlap
from harness.records.schema import Record
from harness.records.store import merge, record_lines
from harness.records.summary import StudySummary
from harness.report.findings import Finding, find
from harness.tables.build import build_table
from harness.tables.effects import Effect, main_effects
from harness.tables.queries import QueryScores
from harness.tables.table import Table
from harness.tables.views import delta_table, effect_table, interaction_table

_SIGNATURE_PACKAGES = ("sentence-transformers", "torch", "transformers")


class Report:
    """What every renderer lays out, each part worked out when it is first asked for.

    Args:
        summary: The study.
        records: Its measurements, in any order.
        queries: Its per-query scores; without them less can be tested.
        overlap: Which tasks' texts stand in the training pairs; None where nobody looked.

    Raises:
        RecordError: If records contradict each other or do not fit the summary.
    """

    def __init__(
        self,
        summary: StudySummary,
        records: Sequence[Record],
        *,
        queries: QueryScores | None = None,
        overlap: Overlap | None = None,
    ) -> None:
        self._summary = summary
        self._records = merge(records)
        self.name = summary.name
        self.question = summary.question
        self.factors = dict(summary.factors)
        self.num_records = len(self._records)
        self.table = build_table(summary, self._records, queries=queries, overlap=overlap)

    @cached_property
    def deltas(self) -> Table | None:
        """Each row minus the baseline; None without a baseline or a second whole row."""
        return delta_table(self.table)

    @cached_property
    def effects(self) -> Table | None:
        """Main effects on every column; None where no two rows differ in one factor only."""
        return effect_table(self.table, factors=self.factors)

    @cached_property
    def interactions(self) -> Table | None:
        """Shares of variance of factors and their pairs; None unless the variants are a full grid."""
        return interaction_table(self.table, factors=self.factors)

    @cached_property
    def tables(self) -> tuple[Table, ...]:
        """The tables that are there: the main one, differences, main effects, interactions."""
        found = (self.table, self.deltas, self.effects, self.interactions)
        return tuple(one for one in found if one is not None)

    @cached_property
    def primary_effects(self) -> tuple[Effect, ...]:
        """Main effects on the primary column, with their estimates of noise."""
        if self.table.primary is None:
            return ()
        return tuple(main_effects(self.table, self.table.primary, factors=self.factors))

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """What the numbers say, in sentences."""
        return tuple(find(self.table, self.primary_effects))

    @cached_property
    def settings(self) -> dict[str, dict[str, str]]:
        """Group -> name -> value; what comes before the first dot of a setting is its group."""
        return _grouped(self._summary.settings)

    @cached_property
    def versions(self) -> dict[str, str]:
        """Package -> version at the time of measuring; several are listed with commas."""
        return _versions(self._records)

    @cached_property
    def evaluators(self) -> tuple[str, ...]:
        """Packages and versions that computed the values."""
        return tuple(sorted({record.evaluator for record in self._records if record.evaluator}))

    @cached_property
    def signature(self) -> str:
        """One line that names the study, its extent, its evaluators and the hash of its records."""
        return _sign(
            self._summary,
            self._records,
            self.table,
            versions=self.versions,
            evaluators=self.evaluators,
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
    digest = _fingerprint(summary, record_lines(records, without=("wall_seconds", "tokens")))
    parts = [
        summary.name,
        f"{variants} variants + {len(table.rows) - variants} references x {tasks} tasks",
        "seeds " + (" ".join(str(seed) for seed in seeds) or "none"),
        *evaluators,
        *(f"{name} {versions[name]}" for name in _SIGNATURE_PACKAGES if name in versions),
        f"records {digest[:12]}",
    ]
    return " | ".join(parts)


def _fingerprint(summary: StudySummary, lines: Iterable[str]) -> str:
    """Return the fingerprint of the list of a summary and its records' text, line by line."""
    digest = hashlib.sha256(f'[{canonical_json(summary)},"'.encode())
    for line in lines:
        digest.update(json.dumps(line, ensure_ascii=False)[1:-1].encode())
    digest.update(b'"]')
    return digest.hexdigest()
