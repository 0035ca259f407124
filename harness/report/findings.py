"""What the numbers say, in sentences computed from the table.

Owns the wording of results. The rule: no sentence claims more than the data. A difference that is not at
least twice its estimated noise is called within noise, one without an estimate of noise is called open,
and every sentence says over how many rows and seeds it speaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.tables.effects import Effect, combine_pairs
from harness.tables.format import format_difference, format_score
from harness.tables.table import Cell, Column, Row, Table

Verdict = Literal["", "clear", "within noise", "open"]
_MAX_CONTEXTS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One statement about the study."""

    headline: str
    """The statement itself, with its number."""
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
    if any(one.verdict for one in findings):
        findings.append(_noise_finding())
    return findings


def describe_column(table: Table) -> str:
    """Return the primary column in words, such as `the mean over the 3 tasks of news`."""
    column = _column(table)
    if column.kind == "mean":
        num = sum(one.kind == "task" and one.suite == column.suite for one in table.columns)
        return f"the mean over the {num} tasks of {column.suite}"
    return f"{column.task} ({column.metric})" if column.metric else column.task


def _column(table: Table) -> Column:
    return table.columns[table.primary or 0]


def _cell(table: Table, row: Row) -> Cell:
    return row.cells[table.primary or 0]


def _points(table: Table, value: float) -> str:
    column = _column(table)
    text = format_difference(value, scale=column.scale)
    return f"{text} points" if column.scale == 100 else text


def _effect_finding(table: Table, effect: Effect) -> Finding:
    change = f"{effect.factor}, {effect.from_level} → {effect.to_level}"
    return Finding(
        headline=f"{change}: {_points(table, effect.value)} on {describe_column(table)}.",
        detail=f"{_basis(effect)}{_contexts(table, effect)}. {_judgement(table, effect)}",
        verdict=_verdict(effect),
    )


def _basis(effect: Effect) -> str:
    pairs = "one pair of rows" if len(effect.pairs) == 1 else f"{len(effect.pairs)} pairs of rows"
    text = f"Over {pairs} that differ in nothing else"
    if not effect.seeds:
        return f"{text}, not paired by seed"
    if len(effect.seeds) == 1:
        return f"{text}, one shared seed ({effect.seeds[0]})"
    seeds = ", ".join(str(seed) for seed in effect.seeds)
    return f"{text}, {effect.num_differences} differences in all (seeds {seeds})"


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
    if effect.is_clear is None:
        return "open"
    return "clear" if effect.is_clear else "within noise"


def _judgement(table: Table, effect: Effect) -> str:
    scale = _column(table).scale
    if effect.noise is None:
        return "There is no estimate of noise, so nothing is claimed."
    kinds = []
    if effect.standard_error is not None:
        kinds.append(f"{format_score(effect.standard_error, scale=scale)} from the paired differences")
    if effect.query_error is not None:
        kinds.append(f"{format_score(effect.query_error, scale=scale)} from the number of queries")
    noise = f"standard error {' and '.join(kinds)}"
    if effect.standard_error is None:
        noise += "; the spread between seeds is not known"
    if effect.is_clear:
        return f"At least twice its noise ({noise})."
    return f"Within noise: less than twice its estimate ({noise})."


def _best_findings(table: Table) -> list[Finding]:
    """Return the best variant with its lead over the second, the baseline and each reference."""
    column = _column(table)
    variants = [row for row in table.rows if row.role == "variant" and _cell(table, row).state == "ok"]
    if not variants:
        return [Finding(headline="No variant is complete yet.", detail="There is nothing to compare.")]
    sign = 1 if column.higher_is_better else -1
    # Sorted by the value alone and stable: ties keep the study's order.
    ranked = sorted(variants, key=lambda row: -sign * (_cell(table, row).value or 0.0))
    best = ranked[0]
    others: list[tuple[Row, str]] = []
    if len(ranked) > 1:
        others.append((ranked[1], "The second best variant"))
    others.extend((row, "The baseline") for row in variants if row.is_baseline and row not in ranked[:2])
    others.extend((row, "The reference") for row in table.rows if row.role == "reference")
    seeds = "one seed" if len(best.seeds) == 1 else f"{len(best.seeds)} seeds"
    rank = f"of {len(variants)} complete variants" if len(variants) > 1 else "the only complete variant"
    findings = [
        Finding(
            headline=f"Highest: {best.label}, {_cell(table, best).display} on {describe_column(table)}."
            if column.higher_is_better
            else f"Lowest: {best.label}, {_cell(table, best).display} on {describe_column(table)}.",
            detail=f"{rank[0].upper()}{rank[1:]}, {seeds}.",
        )
    ]
    for row, role in others:
        effect = combine_pairs(table, table.primary or 0, [(row, best)])
        if effect is not None:
            findings.append(_lead_finding(table, best, row, role, effect))
    return findings


def _lead_finding(table: Table, best: Row, row: Row, role: str, effect: Effect) -> Finding:
    who = f"{role} (also the baseline)" if row.is_baseline and role != "The baseline" else role
    return Finding(
        headline=f"{best.label} against {row.label}: {_points(table, effect.value)}.",
        detail=f"{who} has {_cell(table, row).display}. {_judgement(table, effect)}",
        verdict=_verdict(effect),
    )


def _gap_findings(table: Table) -> list[Finding]:
    """Return what is left out of the sentences above because it is not complete."""
    lacking = [row for row in table.rows if row.role == "variant" and row.num_complete < row.num_tasks]
    if not lacking:
        return []
    verb = "is" if len(lacking) == 1 else "are"
    rows = "; ".join(f"{row.label} ({row.coverage} tasks)" for row in lacking)
    total = sum(row.role == "variant" for row in table.rows)
    return [
        Finding(
            headline=f"{len(lacking)} of {total} variants {verb} incomplete.",
            detail=f"{rows}. An incomplete row has no mean and takes no part in effects on it.",
        )
    ]


def _noise_finding() -> Finding:
    return Finding(
        headline="How noise is estimated.",
        detail=(
            "The larger of two standard errors: of the paired differences, and of a mean over the number of "
            "queries (p(1-p)/n, the two rows taken as independent). Both are rough, neither is a "
            "significance test, and nothing is corrected for the number of comparisons."
        ),
    )
