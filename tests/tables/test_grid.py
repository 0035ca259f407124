"""The analysis of variance against statsmodels on the same numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from msgspec import structs
from statsmodels.stats.anova import anova_lm

from harness.tables.grid import analyse
from harness.tables.table import Cell, Column, Row, SeedValue, Table
from harness.tables.views import interaction_table

FACTORS = {"a": ("x", "y"), "b": ("p", "q", "r"), "fixed": ("only",)}


def _grid(*, seeds: tuple[int, ...] = (1, 2, 3)) -> Table:
    draw = np.random.default_rng(0)
    rows = []
    for a, b in ((a, b) for a in FACTORS["a"] for b in FACTORS["b"]):
        lift = 0.1 * (a == "y") + 0.03 * FACTORS["b"].index(b) + 0.05 * (a == "y" and b == "r")
        values = [
            SeedValue(seed=seed, value=0.5 + lift + 0.01 * seed + float(draw.normal(0, 0.01)))
            for seed in seeds
        ]
        mean = float(np.mean([one.value for one in values]))
        rows.append(
            Row(
                label=f"{a}{b}",
                levels={"a": a, "b": b, "fixed": "only"},
                seeds=seeds,
                cells=(Cell(value=mean, text="x", per_seed=tuple(values)),),
            )
        )
    return Table(
        title="t", caption="", columns=(Column(kind="task", suite="s", task="T"),), rows=tuple(rows)
    )


def test_terms_are_those_of_statsmodels() -> None:
    table = _grid()
    frame = pd.DataFrame(
        [
            {**row.levels, "seed": one.seed, "value": one.value}
            for row in table.rows
            for one in row.cells[0].per_seed
        ]
    )
    theirs = anova_lm(smf.ols("value ~ C(a) * C(b) + C(seed)", data=frame).fit(), typ=2)
    ours = {term.name: term for term in analyse(table, 0, factors=FACTORS)}
    names = {"a": "C(a)", "b": "C(b)", "a by b": "C(a):C(b)", "seeds": "C(seed)"}
    assert ours.keys() == {*names, "rest"}
    for name, other in names.items():
        line = theirs.loc[other]
        assert ours[name].degrees == line["df"]
        assert ours[name].squares == pytest.approx(line["sum_sq"])
        assert ours[name].f_value == pytest.approx(line["F"])
        assert ours[name].p_value == pytest.approx(line["PR(>F)"], rel=1e-6)
    assert ours["rest"].squares == pytest.approx(theirs.loc["Residual", "sum_sq"])
    assert sum(term.share for term in ours.values()) == pytest.approx(1)


def test_one_seed_leaves_nothing_to_test_against() -> None:
    terms = analyse(_grid(seeds=(1,)), 0, factors=FACTORS)
    assert {term.name for term in terms} == {"a", "b", "a by b", "rest"}
    assert all(term.p_value is None for term in terms)
    shown = interaction_table(_grid(seeds=(1,)), factors=FACTORS)
    assert shown is not None
    assert any("more seeds are needed" in note for note in shown.notes)


def test_a_grid_with_a_gap_is_not_analysed() -> None:
    table = _grid()
    assert analyse(replace(table, rows=table.rows[1:]), 0, factors=FACTORS) == ()
    one_seed_short = replace(
        table.rows[0],
        cells=(structs.replace(table.rows[0].cells[0], per_seed=table.rows[0].cells[0].per_seed[:2]),),
    )
    assert analyse(replace(table, rows=(one_seed_short, *table.rows[1:])), 0, factors=FACTORS) == ()
    assert interaction_table(replace(table, rows=table.rows[1:]), factors=FACTORS) is None


def test_the_view_marks_what_is_significant() -> None:
    shown = interaction_table(_grid(), factors=FACTORS)
    assert shown is not None
    marks = {row.label: row.cells[0].mark for row in shown.rows}
    assert marks == {"a": "*", "b": "*", "a by b": "*", "seeds": "", "rest": ""}
