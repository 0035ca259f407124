"""Mistakes that YAML lets pass, or that would run for ever, are refused with place and cure."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import StudyError
from harness.study import load_study
from tests.study.builders import STUDY, edited, write_study

_TEMPERATURE = "contrastive.temperature: [0.02, 0.05]"
_BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{now}: &{now} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, now in zip("abcdefgh", "bcdefghi", strict=True)
)
_GRID = "".join(
    f"  contrastive.{name}: {list(range(1, 61))}\n"
    for name in ("steps", "global_batch", "warmup_steps", "query_length")
)

MISTAKES = {
    "truth for a number": (
        edited("steps: 4,", "steps: true,"),
        ":11: recipe.contrastive.steps: needs a number, not true",
        "",
    ),
    "a list for fields": (
        edited("{base: tiny}", "[tiny]"),
        ":9: recipe.model: needs a mapping of fields to values, not ['tiny']",
        "",
    ),
    "one value for a list": (STUDY + "seeds: 3\n", ":19: seeds: needs a list, not 3", ""),
    "no seeds": (STUDY + "seeds: []\n", ":19: seeds: needs 1 or more, not []", ""),
    "no kind": (edited("kind: bbc, ", ""), ":7: sources.news: needs a field 'kind'", ""),
    "unknown kind": (
        edited("kind: bbc", "kind: bcc"),
        ":7: sources.news: kind: 'bcc' is not one of bbc, files",
        "",
    ),
    "merged fields": (
        edited("  data: {source: news, pairs: headlines}", "  data: &d {source: news}\n  <<: *d"),
        ":11: fields are not merged with `<<`",
        "name the whole with an alias",
    ),
    "a character that is none": (edited("help?", "help?\x07"), ":2: not YAML: a character", ""),
    "aliases of aliases": (_BOMB, ": more than 200,000 values", "do not nest them"),
    "an alias within itself": (edited("recipe:", "recipe: &r\n  x: *r"), ": nested too deeply", ""),
    "brackets without end": ("a: " + "[" * 5000, ": nested too deeply", ""),
    "a grid beyond all time": (
        edited(f"  {_TEMPERATURE}\n", _GRID),
        ":12: factors: 25,920,000 combinations of levels (reconstruction: 2, contrastive.steps: 60",
        "`design: one-at-a-time`",
    ),
    "a word for a factor": (
        edited(_TEMPERATURE, "anchor: [on, off]"),
        ":16: factors.anchor: no recipe has a field 'anchor'",
        "takes a mapping of levels",
    ),
    "a field without its stage": (
        edited("contrastive.temperature", "steps"),
        "Fields of that name: pretraining.steps, reconstruction.steps, contrastive.steps.",
        "",
    ),
    "a stage that is none": (
        edited("contrastive.temperature", "contrst.temperature"),
        "a recipe has: model, data",
        "",
    ),
    "money without a price": (
        STUDY + "budget: {money: 5}\n",
        ":19: budget.money: there is no price",
        "resources.price_per_gpu_hour",
    ),
    "a field of two factors": (
        edited(_TEMPERATURE, "reconstruction.steps: [3, 5]"),
        (
            ":16: factors.reconstruction.steps[0]: sets reconstruction.steps, which "
            "factors.reconstruction.on.reconstruction.steps on line 15 sets too"
        ),
        "let one factor set a field",
    ),
    "a section and its field": (
        edited("on: {reconstruction.steps: 2,", "on: {reconstruction: {steps: 2},"),
        (
            ":15: factors.reconstruction.on.reconstruction.global_batch: sets "
            "reconstruction.global_batch, which factors.reconstruction.on.reconstruction on line 15 "
            "sets too"
        ),
        "",
    ),
}


@pytest.mark.parametrize(("text", "said", "cure"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_told_with_its_place(text: str, said: str, cure: str, tmp_path: Path) -> None:
    path = write_study(tmp_path, text)
    with pytest.raises(StudyError) as caught:
        load_study(path)
    assert (f"{path}{said}" if said.startswith(":") else said) in caught.value.message
    assert cure in caught.value.cure


def test_a_wrong_item_is_told_once_and_not_as_a_list_that_is_too_short(tmp_path: Path) -> None:
    with pytest.raises(StudyError) as caught:
        load_study(write_study(tmp_path, STUDY + "seeds: [x]\n"))
    assert "seeds[0]" in caught.value.message
    assert len(caught.value.message.splitlines()) == 1


def test_two_factors_may_set_one_field_where_no_row_has_both(tmp_path: Path) -> None:
    steps = edited(_TEMPERATURE, "short: {no: {}, yes: {reconstruction.steps: 1}}")
    study = load_study(write_study(tmp_path, steps + "design: one-at-a-time\n"))
    assert [variant.recipes[0].reconstruction.steps for variant in study.variants] == [0, 2, 1]
    with pytest.raises(StudyError, match="in one and the same row"):
        load_study(write_study(tmp_path, steps))


def test_two_factors_may_set_one_field_to_one_value(tmp_path: Path) -> None:
    text = edited(_TEMPERATURE, "dtype: {a: {}, b: {reconstruction.steps: 2, model.dtype: bfloat16}}")
    rows = load_study(write_study(tmp_path, text)).variants
    assert [row.recipes[0].reconstruction.steps for row in rows] == [0, 2, 2, 2]
