"""What the numbers say, in sentences computed from the table.

Owns the wording of results. The rule: no sentence claims more than the data. A difference that is not at
least twice its estimated noise is called within noise, one without an estimate of noise is called open,
and every sentence says over how many rows and seeds it speaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.tables.effects import CLEAR, Effect, combine_pairs
from harness.tables.format import format_difference, format_score
from harness.tables.table import Cell, Column, Row, Table

Verdict = Literal["", "clear", "within noise", "one seed", "not alike", "open"]
_MAX_CONTEXTS = 4
_QUERY_ORIGINS = {
    "paired scores": "from the paired scores of queries",
    "bound": "from the number of queries",
    "both": "from paired scores of queries, and the number of texts where there are none",
    "none": "from queries",
}

NOISE_NOTE = (
    "Clear: at least twice the largest estimate of noise. Within noise: less. One seed: more, but only "
    "as far as queries go, since no row shows how much a seed moves a score. Not alike: the rows differ "
    "in more than the study says. The noise from queries is the spread of the paired scores of single "
    "queries where these are kept, else the root of p (1 - p) / n, with both rows taken as independent. "
    "These verdicts are rough and not corrected for the number of comparisons; the marks in the tables "
    "are tests, and are."
)
"""What the verdicts mean, to be printed below the findings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One statement about the study."""

    headline: str
    """What the number is of."""
    value: str = ""
    """The number, in points where the metric is 0 to 1."""
    detail: str
    """What it rests on."""
    verdict: Verdict = ""
    """How a difference stands against its noise; empty for statements that compare nothing."""


def find(table: Table, effects: Sequence[Effect]) -> list[Finding]:
    """Return the findings of a table on its primary column: effects, the best row, references, gaps."""
    if table.primary is None:
        return []
    findings = [_effect_finding(table, effect) for effect in effects]
    findings.extend(_best_findings(table))
    findings.extend(_gap_findings(table))
    return findings


def describe_column(table: Table) -> str:
    """Return the primary column in words, such as `the mean over the 3 tasks of news`."""
    column = _column(table)
    if column.kind == "mean":
        num = sum(one.kind == "task" and one.suite == column.suite for one in table.columns)
        return f"the mean over the {num} tasks of {column.suite}"
    return f"{column.task} ({column.metric})" if column.metric else column.task


def introduce(table: Table) -> str:
    """Return what all findings are about: the primary column and its unit."""
    unit = ", in points" if _column(table).scale == 100 else ""
    return f"All of it is about {describe_column(table)}{unit}."


def _column(table: Table) -> Column:
    return table.columns[table.primary or 0]


def _cell(table: Table, row: Row) -> Cell:
    return row.cells[table.primary or 0]


def _points(table: Table, value: float) -> str:
    return format_difference(value, scale=_column(table).scale)


def _effect_finding(table: Table, effect: Effect) -> Finding:
    change = f"{effect.factor}, {effect.from_level} → {effect.to_level}"
    return Finding(
        headline=change,
        value=_points(table, effect.value),
        detail=f"{_basis(effect)}{_contexts(table, effect)}. {_judgement(table, effect)}",
        verdict=_verdict(effect),
    )


def _basis(effect: Effect) -> str:
    pairs = "One pair of rows" if len(effect.pairs) == 1 else f"{len(effect.pairs)} pairs of rows"
    text = f"{pairs} alike in all other factors"
    if not effect.seeds:
        return f"{text}, not paired by seed"
    if len(effect.seeds) == 1:
        return f"{text}, one shared seed ({effect.seeds[0]})"
    seeds = ", ".join(str(seed) for seed in effect.seeds)
    return f"{text}, {effect.num_differences} differences (seeds {seeds})"


def _contexts(table: Table, effect: Effect) -> str:
    """Return the effect in each pair of rows, where there are few and they have names."""
    if not 1 < len(effect.pairs) <= _MAX_CONTEXTS or not all(one.context for one in effect.pairs):
        return ""
    scale = _column(table).scale
    texts = [
        f"{format_difference(one.value, scale=scale)} with "
        + ", ".join(f"{name} {level}" for name, level in one.context.items())
        for one in effect.pairs
    ]
    return ": " + "; ".join(texts)


def _verdict(effect: Effect) -> Verdict:
    if effect.num_unlike:
        return "not alike"
    if effect.noise is None:
        return "open"
    if not effect.exceeds_noise:
        return "within noise"
    return "clear" if effect.knows_seeds else "one seed"


def _judgement(table: Table, effect: Effect) -> str:
    """Return how an effect stands against each estimate of its noise."""
    if effect.num_unlike:
        return "The rows were not all measured in the same way (see the notes of the table)."
    if effect.noise is None:
        return "There is no estimate of noise, so nothing is claimed."
    scale = _column(table).scale
    estimates = (
        (effect.standard_error, "from these differences"),
        (effect.seed_error, "from the spread between seeds"),
        (effect.query_error, _QUERY_ORIGINS[effect.query_basis]),
    )
    listed = ", ".join(
        f"{format_score(value, scale=scale)} {origin}"
        for value, origin in estimates
        if value is not None
    )
    if not effect.exceeds_noise:
        is_steady = (
            effect.standard_error is not None and abs(effect.value) >= CLEAR * effect.standard_error
        )
        start = "Steady over these differences, but less" if is_steady else "Less"
        return f"{start} than twice the noise (standard error: {listed})."
    unknown = "" if effect.knows_seeds else "; how much a seed moves it is not known"
    return f"At least twice the noise (standard error: {listed}{unknown})."


def _best_findings(table: Table) -> list[Finding]:
    """Return the best variant with its lead over the second, the baseline and each reference."""
    column = _column(table)
    variants = [row for row in table.rows if row.role == "variant" and _cell(table, row).state == "ok"]
    if not variants:
        return [Finding(headline="No variant is complete yet", detail="There is nothing to compare.")]
    sign = 1 if column.higher_is_better else -1
    # Sorted by the value alone and stable: ties keep the study's order.
    ranked = sorted(variants, key=lambda row: -sign * (_cell(table, row).value or 0.0))
    best = ranked[0]
    seeds = "one seed" if len(best.seeds) == 1 else f"{len(best.seeds)} seeds"
    rank = f"best of {len(variants)} complete variants" if len(variants) > 1 else "only complete variant"
    findings = [
        Finding(
            headline=f"Best variant: {best.label}",
            value=_cell(table, best).text,
            detail=f"The {rank}; {seeds}.",
        )
    ]
    others = [(row, f"the second, {row.label}") for row in ranked[1:2] if not row.is_baseline]
    others.extend((row, f"the baseline, {row.label}") for row in variants if row.is_baseline)
    others.extend((row, row.label) for row in table.rows if row.role == "reference")
    for row, name in others:
        effect = combine_pairs(table, table.primary or 0, [(row, best)]) if row is not best else None
        if effect is not None:
            findings.append(
                Finding(
                    headline=f"Best variant against {name}",
                    value=_points(table, effect.value),
                    detail=f"{row.label} has {_cell(table, row).display}. {_judgement(table, effect)}",
                    verdict=_verdict(effect),
                )
            )
    return findings


def _gap_findings(table: Table) -> list[Finding]:
    """Return what is left out of the sentences above because it is not complete."""
    lacking = [row for row in table.rows if row.role == "variant" and row.num_complete < row.num_tasks]
    if not lacking:
        return []
    rows = "; ".join(f"{row.label} ({row.coverage} tasks)" for row in lacking)
    total = sum(row.role == "variant" for row in table.rows)
    return [
        Finding(
            headline="variants incomplete",
            value=f"{len(lacking)} of {total}",
            detail=f"{rows}. A row has no mean over a suite that it lacks a task of, and takes no part "
            "in effects on that mean.",
        )
    ]
