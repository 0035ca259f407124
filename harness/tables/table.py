"""One comparison table as plain data: columns, rows, cells, footnotes.

Owns the dataclasses between arithmetic and layout. The rule: a cell carries its value, its text, its
state and the reason for that state, so that no renderer decides what a number is. How the values come
about is left to `build`; how they look is left to `harness.report`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import msgspec

from harness.tables.levels import Inference
from harness.tables.profiles import Profiles

ColumnKind = Literal["task", "mean", "delta"]
CellState = Literal["ok", "partial", "not_applicable", "failed", "missing", "incomplete", "baseline"]
Standing = Literal["", "best", "second"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of numbers."""

    kind: ColumnKind
    """`task` holds scores, `mean` their mean over a suite, `delta` a difference from the baseline."""
    suite: str
    task: str = ""
    """Empty for means; for a `delta`, the task it is taken of, empty for the suite's mean."""
    detail: str = ""
    """What a mean counts once, where there are several: ` (tasks)` or ` (types)`."""
    metric: str = ""
    higher_is_better: bool = True
    scale: int = 100
    """Values are multiplied by this when shown."""
    num_queries: int | None = None
    """Queries, rows or pairs behind a score; None where unknown or not the same in all rows."""

    @property
    def title(self) -> str:
        """Return the heading: the task, or what the column computes."""
        return {"task": self.task, "mean": f"Mean{self.detail}", "delta": "Δ"}[self.kind]

    @property
    def key(self) -> str:
        """Return a name that no other column of the table has."""
        name = self.task if self.kind == "task" else f"mean{self.detail}"
        if self.kind == "delta":
            name = f"{self.task or f'mean{self.detail}'}:delta"
        return f"{self.suite}/{name}" if self.suite else name


class SeedValue(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A value measured with one seed."""

    seed: int | None
    value: float


class Delta(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A difference from the baseline, in the unit of the column before scaling."""

    value: float
    spread: float | None = None
    """Sample standard deviation of the differences by seed; None for fewer than two."""
    seeds: tuple[int, ...] = ()
    """Seeds that both rows have, over which the difference was taken; empty for unpaired means."""


class Cell(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One place in the table."""

    value: float | None = None
    """Mean over seeds in the evaluator's unit, before scaling; None where there is none."""
    text: str = ""
    """The value as shown, without its spread; for a cell without a value, a word or nothing."""
    spread: float | None = None
    """Sample standard deviation over seeds, in the unit of `value`; None for fewer than two."""
    spread_text: str = ""
    state: CellState = "ok"
    reason: str = ""
    """Why the state is not `ok`, and the command that mends it where there is one."""
    delta: Delta | None = None
    per_seed: tuple[SeedValue, ...] = ()
    standing: Standing = ""
    """Rank among the variants of a column; references have none."""
    notes: tuple[str, ...] = ()
    """Marks of the footnotes that belong to the cell."""
    inference: Inference | None = None
    """What chance can do to the difference from the baseline; None where it was not tested."""
    mark: str = ""
    """What is printed of the inference beside the value."""
    exposure: str = ""
    """Of a task that the model may know: `leaked`, `in-domain` or both, with a comma."""
    interval_text: str = ""
    """The 95 % interval of a difference as shown, such as `+0.30, +1.10`."""

    @property
    def num_seeds(self) -> int:
        """Return how many measurements the value is a mean over."""
        return len(self.per_seed)

    @property
    def display(self) -> str:
        """Return the text with its mark and its interval or spread, without footnote marks."""
        text = f"{self.text} {self.mark}" if self.mark else self.text
        interval = f" ({self.interval_text})" if self.interval_text else ""
        spread = f" ± {self.spread_text}" if self.spread_text else ""
        return text + interval + spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line: a variant over all its seeds, or a reference."""

    label: str
    role: Literal["variant", "reference"] = "variant"
    levels: dict[str, str]
    """Factor -> level; empty for references."""
    seeds: tuple[int, ...] = ()
    is_baseline: bool = False
    cells: tuple[Cell, ...]
    """One a column, in the columns' order."""
    num_complete: int = 0
    num_tasks: int = 0
    unlike: str = ""
    """In what its measurements differ from those of the row it is compared with; empty if in nothing."""
    notes: tuple[str, ...] = ()
    """Marks of the footnotes that belong to the whole row."""

    @property
    def coverage(self) -> str:
        """Return `k/n`: how many of the study's tasks have all their scores."""
        return f"{self.num_complete}/{self.num_tasks}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Footnote:
    """One numbered remark under the table."""

    mark: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A whole table, ready to be laid out."""

    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    baseline: str | None = None
    primary: int | None = None
    """Index of the column that stands for the study: the first suite's mean, or its only task."""
    footnotes: tuple[Footnote, ...] = ()
    notes: tuple[str, ...] = ()
    """Sentences that say how to read the table."""
    has_coverage: bool = False
    has_seeds: bool = False
    """Whether the number of seeds differs between rows, so that it needs a column."""
    profiles: Profiles | None = field(default=None, compare=False, repr=False)
    """Per-query scores behind the task columns, for whoever pairs rows; no part of what is shown."""

    @property
    def has_suites(self) -> bool:
        """Return whether columns belong to named suites."""
        return any(column.suite for column in self.columns)

    @property
    def suites(self) -> tuple[tuple[str, int], ...]:
        """Return each suite with the number of its columns, for grouped headings."""
        spans: dict[str, int] = {}
        for column in self.columns:
            spans[column.suite] = spans.get(column.suite, 0) + 1
        return tuple(spans.items())
