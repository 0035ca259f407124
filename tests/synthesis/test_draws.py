"""Draws: functions of the seed and the number alone, with the shares that were asked for."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.synthesis.draws import draw, num_tasks
from harness.synthesis.kinds import KINDS, answer_schema, tasks_schema
from harness.synthesis.load import load_specification
from harness.synthesis.messages import example_request
from tests.synthesis.test_load import EXAMPLE

FULL = load_specification(EXAMPLE)


@given(st.integers(0, 10**6))
def test_a_draw_is_whole_and_repeats(index: int) -> None:
    one = draw(FULL, index)
    assert one == draw(FULL, index)
    assert set(one.values) == set(KINDS[one.kind].values)
    assert (one.target is not None) == (one.kind == "bitext")
    assert one.target != one.language
    assert 0 <= one.task_point < 1


def test_a_larger_size_leaves_the_draws_as_they_are() -> None:
    smaller = replace(FULL, document=replace(FULL.document, size=10))
    assert [draw(FULL, index) for index in range(50)] == [draw(smaller, index) for index in range(50)]


def test_another_seed_is_another_sequence() -> None:
    other = replace(FULL, document=replace(FULL.document, seed=1))
    assert [draw(FULL, index) for index in range(20)] != [draw(other, index) for index in range(20)]


def test_shares_are_those_of_the_paper() -> None:
    draws = [draw(FULL, index) for index in range(6000)]
    kinds = Counter(one.kind for one in draws)
    spoken = Counter(one.language for one in draws)
    # Five standard errors.
    for kind, share in FULL.kinds.items():
        assert kinds[kind] / 6000 == pytest.approx(share, abs=5 * (share * (1 - share) / 6000) ** 0.5)
    assert spoken["en"] / 6000 == pytest.approx(0.431, abs=0.032)
    assert len(spoken) == 93


def test_the_full_size_has_the_papers_number_of_tasks() -> None:
    total = sum(num_tasks(FULL, kind) for kind in KINDS)
    assert total == pytest.approx(150_000, rel=0.02)


def test_equal_prompts_have_keys_of_their_own(tmp_path: Path) -> None:
    draws = [one for one in (draw(FULL, index) for index in range(300)) if one.kind == "sts"]
    requests = [
        example_request(FULL, replace(one, values=draws[0].values, language="en"), None) for one in draws
    ]
    assert len({request.prompt for request in requests}) == 1
    assert len({request.key for request in requests}) == len(draws)


@pytest.mark.parametrize("kind", KINDS)
def test_schemas_are_strict(kind: str) -> None:
    values = {name: choices[0] for name, choices in KINDS[kind].values.items()}
    for bounded in (False, True):
        schema = answer_schema(KINDS[kind], values, bounded=bounded)
        assert schema["required"] == list(schema["properties"])
        assert schema["additionalProperties"] is False
        assert all(("maxLength" in text) == bounded for text in schema["properties"].values())
    assert "maxItems" in tasks_schema(20, bounded=True)["properties"]["tasks"]
