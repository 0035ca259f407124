"""A `search` section is checked in full: spaces, conditions, objectives, what is not to be searched."""

from __future__ import annotations

import contextlib
import statistics
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import StudyError
from harness.study import load_study
from harness.study.expression import parse_expression
from harness.study.search import FloatRange, IntRange, Parameter
from harness.study.space import Scalar, grid_points, is_active, overrides_of, tidy
from tests.study.builders import write_study

STUDY = """\
name: small
question: Which temperature?
bases:
  tiny: {path: tiny}
sources:
  news: {kind: bbc, path: news}
recipe:
  model: {base: tiny}
  data: {source: news, pairs: headlines}
factors:
  contrastive.num_negatives: [0, 2]
baseline: {contrastive.num_negatives: 2}
suites:
  dev: {source: news, role: development, tasks: [BBCTopicClassification, BBCTopicClustering]}
  final: {source: news, tasks: [BBCHeadlineRetrieval]}
search:
  space:
    contrastive.temperature: {kind: float, low: 0.005, high: 0.1, log: true}
    reconstruction:
      kind: categorical
      choices: {off: {}, on: {reconstruction.steps: 4}}
    reconstruction.alpha: {kind: float, low: 0, high: 1, step: 0.5, when: {reconstruction: on}}
  objectives: [{maximize: dev}]
  trials: 20
"""

WRONG = {
    "final suite": (
        "{maximize: dev}",
        "{maximize: final}",
        ["'final' is a final suite", "role: development"],
    ),
    "final task": (
        "BBCTopicClustering]}\n",
        "BBCTopicClustering, BBCHeadlineRetrieval]}\n",
        ["BBCHeadlineRetrieval is also in the final suite"],
    ),
    "unknown suite": ("{maximize: dev}", "{maximize: devv}", ["no suite or measure 'devv'", "'dev'"]),
    "unknown task": ("{maximize: dev}", "{maximize: dev.SciFact}", ["no task 'SciFact'"]),
    "no expression": ("{maximize: dev}", "{maximize: 'mean(dev'}", ["is no expression"]),
    "code": ("{maximize: dev}", "{maximize: '__import__(\"os\").getcwd()'}", ["is not of the language"]),
    "no direction": ("{maximize: dev}", "{}", ["exactly one of `maximize` and `minimize`"]),
    "two directions": ("{maximize: dev}", "{maximize: dev, minimize: seconds}", ["exactly one of"]),
    "empty range": ("low: 0.005, high: 0.1", "low: 0.2, high: 0.1", ["low 0.2 is above high 0.1"]),
    "log of zero": ("low: 0.005", "low: 0", ["needs low above 0"]),
    "unknown field": (
        "contrastive.temperature:",
        "contrastive.temprature:",
        ["search.space.contrastive.temprature", "Did you mean 'temperature'?"],
    ),
    "seed": (
        "contrastive.temperature: {kind: float, low: 0.005, high: 0.1, log: true}",
        "seed: {kind: int, low: 1, high: 3}",
        ["no recipe has a field 'seed' to search"],
    ),
    "bound that no recipe takes": (
        "contrastive.temperature: {kind: float, low: 0.005",
        "contrastive.temperature: {kind: float, low: -1",
        ["needs low above 0"],
    ),
    "level that no recipe takes": (
        "reconstruction.steps: 4",
        "reconstruction.steps: -4",
        ["greater than"],
    ),
    "condition on a later parameter": (
        "low: 0.005, high: 0.1, log: true}",
        "low: 0.005, high: 0.1, log: true, when: {reconstruction: on}}",
        ["'reconstruction' is no parameter above this one"],
    ),
    "rungs without a pruner": ("trials: 20", "trials: 20\n  pruner: {rungs: [3]}", ["need `rungs`"]),
    "falling rungs": ("trials: 20", "trials: 2\n  pruner: {kind: median, rungs: [3, 2]}", ["must rise"]),
    "pruner and several objectives": (
        "[{maximize: dev}]",
        "[{maximize: dev}, {minimize: seconds}]\n  pruner: {kind: median, rungs: [3]}",
        ["several objectives ends no trial early"],
    ),
    "wilcoxon over no mean": (
        "[{maximize: dev}]",
        "[{maximize: dev.BBCTopicClassification - dev.BBCTopicClustering}]\n  pruner: {kind: wilcoxon}",
        ["mean over tasks"],
    ),
    "grid without steps": ("trials: 20", "trials: 2\n  sampler: {kind: grid}", ["a grid needs choices"]),
    "password": (
        "trials: 20",
        "trials: 20\n  storage: postgresql://me:secret@host/trials",
        ["a password does not belong into a study", "HARNESS_SEARCH_STORAGE"],
    ),
}


def edited(old: str, new: str) -> str:
    assert old in STUDY
    return STUDY.replace(old, new, 1)


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_search_is_told_in_one_message(name: str, tmp_path: Path) -> None:
    old, new, expected = WRONG[name]
    path = write_study(tmp_path, edited(old, new))
    with pytest.raises(StudyError) as caught:
        load_study(path)
    for text in (f"{path}:", "search" if name != "final task" else "objectives", *expected):
        assert text in str(caught.value)


def test_a_search_starts_from_the_baselines_recipe(tmp_path: Path) -> None:
    study = load_study(write_study(tmp_path, STUDY))
    assert study.recipe["contrastive"] == {"num_negatives": 2}
    assert study.search is not None


def test_levels_set_fields_and_conditions_hold(tmp_path: Path) -> None:
    search = load_study(write_study(tmp_path, STUDY)).search
    assert search is not None
    alpha = search.space["reconstruction.alpha"]
    assert is_active(alpha, {"reconstruction": "on"})
    assert not is_active(alpha, {"reconstruction": "off"})
    point: dict[str, Scalar] = {
        "contrastive.temperature": 0.02,
        "reconstruction": "on",
        "reconstruction.alpha": 0.5,
    }
    assert overrides_of(search.space, point) == {
        "contrastive.temperature": 0.02,
        "reconstruction.steps": 4,
        "reconstruction.alpha": 0.5,
    }


def test_a_grid_has_every_combination_once() -> None:
    space: dict[str, Parameter] = {
        "a": IntRange(kind="int", low=1, high=7, step=3),
        "b": FloatRange(kind="float", low=0.1, high=0.35, step=0.1, when={"a": [1, 4]}),
    }
    points = [tuple(point.values()) for point in grid_points(space)]
    assert points == [(1, 0.1), (1, 0.2), (1, 0.3), (4, 0.1), (4, 0.2), (4, 0.3), (7,)]


@given(st.floats(1e-9, 1.0), st.floats(0, 1), st.floats(0, 1))
def test_tidy_numbers_stay_in_their_range(low: float, width: float, share: float) -> None:
    parameter = FloatRange(kind="float", low=low, high=low + width)
    value = tidy(parameter, min(low + width, low + share * width))
    assert isinstance(value, float)
    assert parameter.low <= value <= parameter.high
    assert value in (parameter.low, parameter.high, float(f"{value:.4g}"))


SUITES = {"dev": ("A", "B"), "my-suite": ("c-d",)}


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.integers(0, 10**9))
def test_expressions_are_evaluated(a: float, b: float, c: float, parameters: int) -> None:
    scores = {("dev", "A"): a, ("dev", "B"): b, ("my-suite", "c-d"): c}
    measures = {"parameters": float(parameters)}
    for text, value in {
        "dev": statistics.fmean([a, b]),
        "dev.A": a,
        "'my-suite/c-d'": c,
        "'my-suite'": c,
        "mean(dev.A, 'my-suite/c-d')": statistics.fmean([a, c]),
        "min(dev.A, dev.B) + 2 * max(dev.B, 0.5)": min(a, b) + 2 * max(b, 0.5),
        "-dev.A / 4 - 1e-9 * parameters": -a / 4 - 1e-9 * parameters,
        "parameters": parameters,
    }.items():
        assert parse_expression(text, SUITES).evaluate(scores.__getitem__, measures) == value


def test_an_expression_names_what_it_reads() -> None:
    found = parse_expression("dev - 'my-suite' * seconds + dev.A", SUITES)
    assert found.cells == (("dev", "A"), ("dev", "B"), ("my-suite", "c-d"))
    assert found.measures == ("seconds",)


@given(st.text(alphabet="dev.AB()'+-*/ ,mean1[]{}:=lambda_\n", max_size=40))
def test_whatever_is_no_expression_is_told_as_such(text: str) -> None:
    with contextlib.suppress(ValueError):
        parse_expression(text, SUITES)
