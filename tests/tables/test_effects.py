from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from msgspec import structs

from harness.records.schema import Record
from harness.records.summary import StudySummary
from harness.tables.build import build_table
from harness.tables.effects import Effect, main_effects
from harness.tables.query_noise import query_error
from harness.tables.table import Table
from harness.tables.views import DETECTABLE, delta_table, effect_table
from tests.tables.fake_study import NEWS, label

TASK = "BBCTopicClustering"


def effect_of(table: Table, summary: StudySummary, factor: str, key: str = f"news/{TASK}") -> Effect:
    index = [column.key for column in table.columns].index(key)
    return next(
        one for one in main_effects(table, index, factors=summary.factors) if one.factor == factor
    )


def value(records: list[Record], slug: str) -> float:
    return next(one.value or 0.0 for one in records if one.variant == slug and one.task == TASK)


def test_an_effect_is_the_mean_over_pairs_of_rows_that_differ_in_the_factor_only(
    summary: StudySummary, records: list[Record], table: Table
) -> None:
    effect = effect_of(table, summary, "reconstruction")
    headlines = [
        value(records, f"on-headlines-s{seed}") - value(records, f"off-headlines-s{seed}")
        for seed in (0, 1)
    ]
    paragraphs = value(records, "on-paragraphs-s0") - value(records, "off-paragraphs-s0")
    assert (effect.from_level, effect.to_level) == ("off", "on")
    assert effect.value == pytest.approx((np.mean(headlines) + paragraphs) / 2)
    assert [one.context for one in effect.pairs] == [{"pairs": "headlines"}, {"pairs": "paragraphs"}]
    assert effect.seeds == (0, 1)
    singles = [*headlines, paragraphs]
    assert effect.spread == pytest.approx(np.std(singles, ddof=1))
    assert effect.standard_error == pytest.approx(np.std(singles, ddof=1) / math.sqrt(3))


def test_levels_are_compared_with_the_baselines(summary: StudySummary, records: list[Record]) -> None:
    turned = build_table(replace(summary, baseline=label("on", "headlines")), records)
    straight = build_table(summary, records)
    effect = effect_of(turned, summary, "reconstruction")
    assert (effect.from_level, effect.to_level) == ("on", "off")
    assert effect.value == pytest.approx(-effect_of(straight, summary, "reconstruction").value)


def test_incomplete_rows_take_no_part(summary: StudySummary, records: list[Record]) -> None:
    fewer = [one for one in records if not (one.variant == "on-paragraphs-s0" and one.task == TASK)]
    effect = effect_of(build_table(summary, fewer), summary, "reconstruction", "news/mean")
    assert [one.context for one in effect.pairs] == [{"pairs": "headlines"}]


def test_the_noise_of_queries_is_that_of_a_mean_of_independent_tasks(table: Table) -> None:
    mean = [column.key for column in table.columns].index("news/mean")
    pair = (table.rows[0], table.rows[1])
    squares = [
        sum((row.cells[index].value or 0) * (1 - (row.cells[index].value or 0)) / 400 for row in pair)
        for index in range(len(NEWS))
    ]
    error, basis = query_error(table, [pair], mean)
    assert error == pytest.approx(math.sqrt(sum(squares)) / 3)
    assert basis == "bound"


def test_the_noise_of_queries_is_a_bound_on_simulated_scores() -> None:
    draw = np.random.default_rng(0)
    for _ in range(20):
        scores = draw.beta(draw.uniform(0.2, 3), draw.uniform(0.2, 3), size=400)
        bound = scores.mean() * (1 - scores.mean()) / scores.size
        assert scores.var() / scores.size <= bound


def test_the_pooled_spread_of_seeds_stands_in_where_no_two_are_shared(
    summary: StudySummary, records: list[Record], table: Table
) -> None:
    effect = effect_of(table, summary, "pairs")
    assert effect.seeds == (0,)
    variances = [
        np.var([value(records, f"{level}-headlines-s{seed}") for seed in (0, 1)], ddof=1)
        for level in ("off", "on")
    ]
    # Two pairs; one row of each has two seeds, the other one.
    expected = math.sqrt(np.mean(variances) * (1 / 2 + 1 / 1) * 2) / 2
    assert effect.seed_error == pytest.approx(expected)


def test_nothing_is_clear_where_no_row_has_two_seeds(
    summary: StudySummary, records: list[Record]
) -> None:
    rows = tuple(replace(row, members=row.members[:1]) for row in summary.rows)
    lifted = [
        structs.replace(one, value=(one.value or 0) * 0.3)
        if one.value and one.variant.startswith("off")
        else one
        for one in records
    ]
    effect = effect_of(build_table(replace(summary, rows=rows), lifted), summary, "reconstruction")
    assert effect.exceeds_noise
    assert not effect.knows_seeds
    assert not effect.is_clear


@pytest.mark.parametrize(("lift", "expected"), [(0.001, False), (0.3, True)])
def test_an_effect_is_clear_from_twice_its_noise(
    summary: StudySummary, records: list[Record], lift: float, expected: bool
) -> None:
    level = {"off": 0.4, "on": 0.4 + lift}
    flat = [
        structs.replace(one, value=level[one.variant.split("-")[0]] + 0.0001 * (one.seed or 0))
        if one.state == "ok" and "-" in one.variant
        else one
        for one in records
    ]
    effect = effect_of(build_table(summary, flat), summary, "reconstruction", "news/mean")
    assert effect.is_clear is expected
    assert effect.exceeds_noise is (abs(effect.value) >= 2 * (effect.noise or 0))


def test_without_numbers_of_queries_there_is_no_noise_of_queries(
    summary: StudySummary, records: list[Record]
) -> None:
    unknown = [structs.replace(one, num_queries=None) for one in records]
    assert effect_of(build_table(summary, unknown), summary, "pairs").query_error is None


def test_rows_that_were_not_measured_alike_are_never_clear(
    summary: StudySummary, records: list[Record]
) -> None:
    moved = [
        structs.replace(one, dataset_revision="bbc2") if one.variant.startswith("on-headlines") else one
        for one in records
    ]
    effect = effect_of(build_table(summary, moved), summary, "reconstruction")
    assert effect.num_unlike == 1
    assert not effect.is_clear


def test_the_views_have_the_same_columns_and_no_baseline_row(
    summary: StudySummary, table: Table
) -> None:
    deltas, effects = delta_table(table), effect_table(table, factors=summary.factors)
    assert deltas is not None
    assert effects is not None
    keys = [column.key for column in table.columns if column.kind != "delta"]
    assert [column.key for column in deltas.columns] == keys
    assert [column.key for column in effects.columns] == keys
    others = [row.label for row in table.rows if not row.is_baseline]
    assert [row.label for row in deltas.rows] == [*others, DETECTABLE]
    assert [row.label for row in effects.rows] == [
        "reconstruction: off → on",
        "pairs: headlines → paragraphs",
    ]


def test_there_are_no_views_of_nothing(summary: StudySummary) -> None:
    table = build_table(summary, [])
    assert delta_table(table) is None
    assert effect_table(table, factors=summary.factors) is None
