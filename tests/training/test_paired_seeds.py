"""Variants share data order and hard negatives: a draw's seed is made of what it may depend on alone.

The law: with one seed and one pair set, batches, their order and hard negatives are the same for all
variants, whatever else differs. Data that differ have draws of their own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.pairs import Pair
from harness.identity import derive_seed
from harness.plan import Plan, Step, compile_plan
from harness.study import load_study
from harness.training.batches import BatchSampler, Sampling, choose_negatives
from tests.study.builders import STUDY, write_study

PAIRS = [
    Pair(query=f"q{i}", positive=f"p{i}", negatives=tuple(f"n{i}.{j}" for j in range(6)))
    for i in range(40)
]


def _plan(folder: Path, factor: str) -> Plan:
    before, _, after = STUDY.partition("factors:\n")
    suites = after.partition("suites:\n")[2]
    text = f"{before}factors:\n{factor}suites:\n{suites}seeds: [7]\n"
    text = text.replace(
        "global_batch: 8, learning_rate", "global_batch: 8, num_negatives: 2, learning_rate"
    )
    return compile_plan(load_study(write_study(folder, text)))


def _drawn(step: Step, pairs: list[Pair]) -> list[list[tuple[str, tuple[str, ...]]]]:
    """Return what a contrastive step trains on: (query, its hard negatives), batch by batch."""
    config: dict[str, Any] = dict(step.config)
    settings = config["contrastive"]
    sampler = BatchSampler(
        [pair.dataset for pair in pairs],
        global_batch=settings["global_batch"],
        seed=config["seed"],
        sampling=Sampling(**config["sampling"]),
    )
    drawn = []
    for number in range(settings["steps"]):
        batch = [pairs[row] for row in sampler.rows(number)]
        chosen = choose_negatives(
            batch, num_negatives=settings["num_negatives"], seed=config["seed"], step=number
        )
        drawn.append([(pair.query, texts) for pair, texts in zip(batch, chosen, strict=True)])
    return drawn


@pytest.mark.parametrize(
    "factor",
    [
        "  contrastive.temperature: [0.02, 0.05]\n",
        "  contrastive.tuning.rank: [4, 8]\n",
        "  contrastive.learning_rate: [1e-3, 1e-4]\n",
        "  reconstruction: {off: {}, on: {reconstruction.steps: 2}}\n",
        "  model.pooling: [last, mean]\n",
        "  model.base: [tiny, big]\n",
        "  prompts.query: ['', 'query: ']\n",
    ],
)
def test_variants_that_differ_in_no_data_see_the_same_batches_and_negatives(
    factor: str, tmp_path: Path
) -> None:
    plan = _plan(tmp_path, factor)
    models = [plan.steps[row.members[0].model] for row in plan.rows]
    assert len({step.fingerprint for step in models}) == 2
    first, second = (_drawn(step, PAIRS) for step in models)
    assert first == second


def test_a_longer_training_begins_as_the_shorter_one(tmp_path: Path) -> None:
    plan = _plan(tmp_path, "  contrastive.steps: [3, 5]\n")
    short, long = (_drawn(plan.steps[row.members[0].model], PAIRS) for row in plan.rows)
    assert long[:3] == short


def test_the_other_seed_sees_other_batches_and_negatives(tmp_path: Path) -> None:
    plan = _plan(tmp_path, "  contrastive.seed: [1, 2]\n")
    first, second = (_drawn(plan.steps[row.members[0].model], PAIRS) for row in plan.rows)
    assert first != second


def test_variants_that_differ_in_data_share_their_seed_and_need_not_share_more(tmp_path: Path) -> None:
    plan = _plan(tmp_path, "  data.pairs: [headlines, paragraphs]\n")
    first, second = (plan.steps[row.members[0].model] for row in plan.rows)
    assert first.config["seed"] == second.config["seed"] == 7
    other = [Pair(query=f"x{i}", positive="p", negatives=tuple("abcdef")) for i in range(30)]
    assert _drawn(first, PAIRS) != _drawn(second, other)


_PARTS = st.lists(st.text(max_size=5) | st.integers(0, 99), min_size=1, max_size=4)


@given(first=_PARTS, second=_PARTS)
def test_a_seed_depends_on_its_components_and_on_nothing_else(
    first: list[str | int], second: list[str | int]
) -> None:
    assert derive_seed(*first) == derive_seed(*first)
    assert (derive_seed(*first) == derive_seed(*second)) == (first == second)
    assert 0 <= derive_seed(*first) < 2**63
