"""What a table needs to know of a study besides its records: rows, suites and the baseline.

Owns `StudySummary` and its JSON form, `study.json`, which lies beside `records.jsonl`. The rule: a
clone with these two files (and `per_query.parquet`, where there is one) rebuilds every table and tells
two rows' configurations apart; the study's YAML, its models and its data are not needed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from harness.errors import RecordError
from harness.identity.canonical import to_plain

_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One trained model of a row: the row's variant with one seed."""

    slug: str
    """Name of the model in the records."""
    revision: str
    """Fingerprint of the step that made it; empty for models without one."""
    seed: int | None
    """None where nothing was trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSummary:
    """One line of a table: one variant over all its seeds."""

    label: str
    levels: dict[str, str]
    """Factor -> level; empty for reference lines."""
    role: Literal["variant", "reference"] = "variant"
    members: tuple[Member, ...]
    config: dict[str, str] = field(default_factory=dict)
    """`stage.dotted.field` -> value: what its models are made from, beyond what all variants share."""
    derived: dict[str, str] = field(default_factory=dict)
    """Quantities that follow from the configuration, such as negatives a query, by name."""


TIERS = ("smoke", "nano", "lite", "full")
"""Suites by the time that they take, from minutes to days."""
_TIER_OF = {
    "NanoBEIR": "nano",
    "MTEB(eng, v2)": "lite",
    "MTEB(eng)": "lite",
    "MTEB(eng, v1)": "full",
    "MTEB(eng, classic)": "full",
    "MTEB": "full",
}
"""What mteb calls them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteSummary:
    """One suite: the tasks over which its mean is taken."""

    name: str
    evaluator: str
    tasks: tuple[str, ...]
    benchmark: str = ""
    """The benchmark that it is, by mteb's name or this project's; empty for a list of tasks."""

    @property
    def tier(self) -> str:
        """How much of an evaluation it is: `smoke`, `nano`, `lite` or `full`, else `other`."""
        name = _TIER_OF.get(self.benchmark, self.benchmark)
        return name if name in TIERS else "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySummary:
    """A study as its tables see it."""

    __pydantic_config__ = _STRICT

    name: str
    question: str
    factors: dict[str, tuple[str, ...]]
    """Factor -> its levels, in the study's order."""
    baseline: str | None
    """Label of the row that the others are compared with."""
    rows: tuple[RowSummary, ...]
    suites: tuple[SuiteSummary, ...]
    in_domain: tuple[str, ...] | None = None
    """Tasks of the same origin as some variant's training data; None where that is not known."""
    settings: dict[str, str] = field(default_factory=dict)
    """Shared settings worth printing under a table, such as steps and batch size."""
    config: dict[str, str] = field(default_factory=dict)
    """The part of the configuration that all variants share; references have their own in full."""

    def resolved(self, row: RowSummary) -> dict[str, str]:
        """Return the whole configuration of a row, by `stage.dotted.field`."""
        shared = self.config if row.role == "variant" else {}
        return dict(sorted({**shared, **row.config}.items()))


def write_summary(summary: StudySummary, path: Path) -> None:
    """Write `study.json`, the same bytes for equal summaries."""
    path.write_text(json.dumps(to_plain(summary), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_summary(path: Path) -> StudySummary:
    """Read `study.json`.

    Raises:
        RecordError: If the file is missing or does not hold a summary.
    """
    try:
        return TypeAdapter(StudySummary).validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise RecordError(f"{path}: no such file", cure="harness run STUDY writes it") from error
    except ValidationError as error:
        raise RecordError(f"{path}: not a study summary: {error}") from error
