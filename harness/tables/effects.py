"""Main effects: what one factor does to a column, over the rows that differ in nothing else.

Owns the pairing of rows by factor and the estimates of noise beside each effect. The rule: an effect is
called clear only if it is at least twice its noise, the spread between seeds is known, and all rows were
measured in the same way. Noise is the largest of these estimates, none of which may be taken for a
significance test:

- the standard error over the paired differences, s / sqrt(n), one a pair of rows and shared seed;
- where fewer than two seeds are shared, what the pooled spread of seeds within rows would give;
- the standard error from queries, which `query_noise` takes from per-query scores where there are any.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.tables.differences import difference
from harness.tables.query_noise import Basis, query_error
from harness.tables.table import Row, Table

CLEAR = 2.0
"""An effect is called clear from this many times its noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairDifference:
    """The difference between two rows that differ in one factor only."""

    context: dict[str, str]
    """The levels of the other factors, the same in both rows."""
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What going from one level of a factor to another does to a column, before scaling."""

    factor: str
    from_level: str
    to_level: str
    value: float
    """Mean over pairs of rows of their difference."""
    pairs: tuple[PairDifference, ...]
    seeds: tuple[int, ...]
    """Seeds over which differences were paired; empty where no rows share one."""
    num_differences: int
    num_unlike: int = 0
    """Pairs of which one row was not measured in the same way as the other."""
    spread: float | None = None
    """Sample standard deviation of the single differences; None for fewer than two."""
    standard_error: float | None = None
    """Spread over the square root of the number of differences."""
    seed_error: float | None = None
    """From the pooled spread of seeds within rows; None where two seeds are shared, or none has two."""
    query_error: float | None = None
    """From queries; None where nothing is known of them."""
    query_basis: Basis = "none"
    """Whether that is the spread of paired scores by query, a rough bound, or both."""

    @property
    def noise(self) -> float | None:
        """Return the largest of the estimates of noise, None if there is none."""
        estimates = (self.standard_error, self.seed_error, self.query_error)
        known = [one for one in estimates if one is not None]
        return max(known) if known else None

    @property
    def knows_seeds(self) -> bool:
        """Return whether the noise holds the spread between seeds."""
        return self.seed_error is not None or len(self.seeds) > 1

    @property
    def exceeds_noise(self) -> bool:
        """Return whether the effect is at least twice its noise, as far as that is known."""
        return self.noise is not None and self.value != 0 and abs(self.value) >= CLEAR * self.noise

    @property
    def is_clear(self) -> bool:
        """Return whether like is compared with like and exceeds a noise that knows of seeds."""
        return self.exceeds_noise and self.knows_seeds and not self.num_unlike


def main_effects(table: Table, column: int, *, factors: Mapping[str, tuple[str, ...]]) -> list[Effect]:
    """Return the effect on a column of each level of each factor, against the factor's reference level.

    The reference level is the baseline's, or the first one listed. A pair of rows counts if both are
    variants with a whole value in the column.
    """
    return effects_by_column(table, [column], factors=factors)[column]


def effects_by_column(
    table: Table, columns: Sequence[int], *, factors: Mapping[str, tuple[str, ...]]
) -> dict[int, list[Effect]]:
    """Return the main effects on each of several columns, for which rows are paired once."""
    found: dict[int, list[Effect]] = {column: [] for column in columns}
    baseline = next((row for row in table.rows if row.is_baseline), None)
    for factor, levels in factors.items():
        start = baseline.levels.get(factor) if baseline else None
        reference = start if start in levels else next(iter(levels), "")
        for level in levels:
            if level == reference:
                continue
            pairs = _row_pairs(table.rows, factor=factor, from_level=reference, to_level=level)
            for column in columns:
                effect = combine_pairs(
                    table, column, pairs, factor=factor, from_level=reference, to_level=level
                )
                if effect is not None:
                    found[column].append(effect)
    return found


def combine_pairs(
    table: Table,
    column: int,
    pairs: Sequence[tuple[Row, Row]],
    *,
    factor: str = "",
    from_level: str = "",
    to_level: str = "",
) -> Effect | None:
    """Return the mean difference over `pairs` of rows (second minus first); None if none is whole."""
    found: list[PairDifference] = []
    singles: list[float] = []
    seeds: set[int] = set()
    whole = [
        (start, end)
        for start, end in pairs
        if start.cells[column].state == end.cells[column].state == "ok"
    ]
    for start, end in whole:
        one = difference(end.cells[column].per_seed, start.cells[column].per_seed)
        if one is None:
            continue
        context = {name: level for name, level in end.levels.items() if name != factor}
        found.append(PairDifference(context=context, value=one.delta.value))
        singles.extend(one.by_seed or [one.delta.value])
        seeds.update(one.delta.seeds)
    if not found:
        return None
    spread = statistics.stdev(singles) if len(singles) > 1 else None
    error, basis = query_error(table, whole, column)
    return Effect(
        factor=factor,
        from_level=from_level,
        to_level=to_level,
        value=statistics.fmean(one.value for one in found),
        pairs=tuple(found),
        seeds=tuple(sorted(seeds)),
        num_differences=len(singles),
        num_unlike=sum(start.unlike != end.unlike for start, end in whole),
        spread=spread,
        standard_error=None if spread is None else spread / math.sqrt(len(singles)),
        seed_error=_seed_error(table, whole, column) if len(seeds) < 2 else None,
        query_error=error,
        query_basis=basis,
    )


def _row_pairs(
    rows: Sequence[Row], *, factor: str, from_level: str, to_level: str
) -> list[tuple[Row, Row]]:
    by_levels: dict[frozenset[tuple[str, str]], list[Row]] = {}
    variants = [row for row in rows if row.role == "variant" and factor in row.levels]
    for row in variants:
        by_levels.setdefault(frozenset(row.levels.items()), []).append(row)
    return [
        (start, end)
        for start in variants
        if start.levels[factor] == from_level
        for end in by_levels.get(frozenset({**start.levels, factor: to_level}.items()), ())
    ]


def _seed_error(table: Table, pairs: Sequence[tuple[Row, Row]], column: int) -> float | None:
    """Return the standard error that seeds alone would give, had all rows the pooled spread."""
    replicated = [
        cell.per_seed
        for row in table.rows
        if (cell := row.cells[column]).state == "ok" and row.role == "variant" and cell.num_seeds > 1
    ]
    if not replicated:
        return None
    squares = [
        statistics.variance(one.value for one in values) * (len(values) - 1) for values in replicated
    ]
    pooled = math.fsum(squares) / sum(len(values) - 1 for values in replicated)
    shares = [
        1 / cell.num_seeds
        for pair in pairs
        for row in pair
        if (cell := row.cells[column]).per_seed[0].seed is not None
    ]
    return math.sqrt(pooled * math.fsum(shares)) / len(pairs)
