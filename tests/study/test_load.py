"""A right study resolves in full; a wrong one ends in one message with file, line, field and cure."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import StudyError
from harness.study import find_study, load_study
from tests.study.builders import STUDY, edited, write_study

WRONG = {
    "unknown field": (
        edited("recipe:", "receipt: 1\nrecipe:"),
        8,
        ["receipt", "unknown field", "Did you mean 'recipe'?"],
    ),
    "unknown recipe field": (
        edited("{base: tiny}", "{base: tiny, num_layer: 3}"),
        9,
        ["recipe.model.num_layer", "unknown field", "Did you mean 'num_layers'?"],
    ),
    "wrong type": (
        edited("steps: 4", "steps: many"),
        11,
        ["recipe.contrastive.steps", "integer", "'many'"],
    ),
    "value out of range": (
        edited("learning_rate: 1e-3", "learning_rate: -1"),
        11,
        ["recipe.contrastive.learning_rate", "greater than 0", "-1"],
    ),
    "unknown choice": (
        edited("{base: tiny}", "{base: tiny, pooling: lost}"),
        9,
        ["recipe.model.pooling", "'lost'", "Did you mean 'last'?"],
    ),
    "missing field": (edited("question: Does it help?\n", ""), 1, ["question", "required"]),
    "unknown model": (
        edited("{base: tiny}", "{base: tinny}"),
        9,
        ["recipe.model.base", "no base 'tinny'", "tiny, big", "Did you mean 'tiny'?"],
    ),
    "unknown task": (
        edited("BBCTopicClassification", "BBCTopicClasification"),
        18,
        ["suites.news.tasks[0]", "Did you mean 'BBCTopicClassification'?"],
    ),
    "unknown stock task": (
        edited("BBCTopicClassification", "SciFakt"),
        18,
        ["suites.news.tasks[0]", "no task 'SciFakt'", "Did you mean 'SciFact'?"],
    ),
    "unknown source": (
        edited("data: {source: news", "data: {source: newz"),
        10,
        ["recipe.data.source", "Did you mean 'news'?"],
    ),
    "best of no measure": (
        edited("steps: 4,", "steps: 4, keep: best,"),
        11,
        ["recipe.contrastive.keep", "'best'", "held out", "`data.validation: {pairs: 200}`"],
    ),
    "measured by nothing, in a level": (
        edited("on: {reconstruction.steps: 2,", "on: {reconstruction.validate_every: 5,"),
        15,
        ["reconstruction.validate_every", "5", "held out", "`data.validation: {pairs: 200}`"],
    ),
    "held out twice over": (
        edited("pairs: headlines}", "pairs: headlines, validation: {pairs: 5, share: 0.1}}"),
        10,
        ["recipe.data.validation", "exactly one of `pairs` and `share`"],
    ),
    "one pair held out": (
        edited("pairs: headlines}", "pairs: headlines, validation: {pairs: 1}}"),
        10,
        ["recipe.data.validation.pairs", "greater than or equal to 2", "1"],
    ),
    "unknown choice of step": (
        edited("steps: 4,", "steps: 4, keep: bets,"),
        11,
        ["recipe.contrastive.keep", "'bets'", "Did you mean 'best'?"],
    ),
    "unknown pair set": (
        edited("pairs: headlines", "pairs: headline"),
        10,
        ["recipe.data.pairs", "headlines, paragraphs", "Did you mean 'headlines'?"],
    ),
    "empty factor": (
        edited("[0.02, 0.05]", "[]"),
        16,
        ["factors.contrastive.temperature", "no levels"],
    ),
    "duplicate value": (
        edited("[0.02, 0.05]", "[0.02, 0.05, 0.02]"),
        16,
        ["factors.contrastive.temperature[2]", "'0.02' stands twice"],
    ),
    "duplicate level": (
        edited("    off: {}\n", "    off: {}\n    off: {}\n"),
        15,
        ["factors.reconstruction.off", "stands twice", "line 14"],
    ),
    "two levels alike": (
        edited("on: {reconstruction.steps: 2, reconstruction.global_batch: 8}", "on: {}"),
        12,
        ["are the same recipe"],
    ),
    "level of an unknown field": (
        edited("reconstruction.steps: 2", "reconstruction.stepz: 2"),
        15,
        ["reconstruction.stepz", "Did you mean 'reconstruction.steps'?"],
    ),
    "wrong value in a level": (
        edited("reconstruction.steps: 2", "reconstruction.steps: two"),
        15,
        ["recipe.reconstruction.steps", "'two'"],
    ),
    "wrong value in a list of values": (
        edited("[0.02, 0.05]", "[0.02, hot]"),
        16,
        ["recipe.contrastive.temperature", "'hot'"],
    ),
    "unknown baseline level": (
        STUDY + "baseline: {reconstruction: of}\n",
        19,
        ["baseline.reconstruction", "no level 'of'", "Did you mean 'off'?"],
    ),
    "seed as a factor": (
        edited("contrastive.temperature: [", "seed: ["),
        16,
        ["a seed is no factor", "seeds"],
    ),
    "hub without revision": (edited(", revision: abc", ""), 5, ["bases.big", "revision"]),
    "two places of a base": (
        edited("path: tiny", "path: tiny, hub: x"),
        4,
        ["bases.tiny", "hub and path"],
    ),
    "no such folder": (edited("path: tiny", "path: gone"), 4, ["bases.tiny.path", "gone"]),
    "not YAML": (edited("question: Does", "question: [Does"), 2, ["not YAML"]),
    "not a mapping": ("- a\n- b\n", 1, ["a list"]),
    "empty file": ("", 1, ["nothing"]),
    "cyclic profiles": (
        STUDY + "profiles:\n  a: {extends: b}\n  b: {extends: a}\n",
        20,
        ["profiles.a.extends", "a -> b -> a"],
    ),
    "profile of an unknown field": (
        STUDY + "profiles:\n  a: {recip.seed: 1}\n",
        20,
        ["'recip'", "Did you mean 'recipe'?"],
    ),
    "beir suite without data": (
        edited("{source: news, tasks", "{evaluator: beir, tasks"),
        18,
        ["suites.news.tasks[0]", "folder"],
    ),
    "own task without its source": (edited("source: news, tasks", "tasks"), 18, ["kind bbc"]),
}


@pytest.mark.parametrize(("text", "line", "said"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_study_is_refused_with_its_place_and_cure(
    text: str, line: int, said: list[str], tmp_path: Path
) -> None:
    path = write_study(tmp_path, text)
    with pytest.raises(StudyError) as caught:
        load_study(path, profile="a" if "profiles:" in text else None)
    message = str(caught.value)
    assert f"{path}:{line}: " in message
    for part in said:
        assert part in message


def test_a_study_resolves_to_its_variants(tmp_path: Path) -> None:
    study = load_study(write_study(tmp_path))
    assert [variant.label for variant in study.variants] == [
        "reconstruction=off, contrastive.temperature=0.02",
        "reconstruction=off, contrastive.temperature=0.05",
        "reconstruction=on, contrastive.temperature=0.02",
        "reconstruction=on, contrastive.temperature=0.05",
    ]
    assert study.baseline == study.variants[0].label
    recipe = study.variants[3].recipes[0]
    assert (recipe.reconstruction.steps, recipe.contrastive.temperature) == (2, 0.05)
    assert recipe.contrastive.learning_rate == 1e-3
    assert study.factors["reconstruction"] == ("off", "on")


def test_one_at_a_time_leaves_the_baseline_in_one_factor(tmp_path: Path) -> None:
    text = (
        STUDY + "design: one-at-a-time\nbaseline: {reconstruction: on, contrastive.temperature: 0.05}\n"
    )
    study = load_study(write_study(tmp_path, text))
    assert [dict(variant.levels) for variant in study.variants] == [
        {"reconstruction": "on", "contrastive.temperature": "0.05"},
        {"reconstruction": "off", "contrastive.temperature": "0.05"},
        {"reconstruction": "on", "contrastive.temperature": "0.02"},
    ]


def test_replicates_add_seeds_to_matching_variants(tmp_path: Path) -> None:
    text = STUDY + "seeds: [1]\nreplicates: [{where: {reconstruction: on}, seeds: [1, 2, 3]}]\n"
    study = load_study(write_study(tmp_path, text))
    seeds = [[recipe.seed for recipe in variant.recipes] for variant in study.variants]
    assert seeds == [[1], [1], [1, 2, 3], [1, 2, 3]]


def test_profiles_build_on_each_other(tmp_path: Path) -> None:
    text = STUDY + (
        "profiles:\n  small: {recipe.contrastive.steps: 2, recipe.model.num_layers: 1}\n"
        "  smaller: {extends: small, recipe.contrastive.steps: 1, seeds: [7]}\n"
    )
    study = load_study(write_study(tmp_path, text), profile="smaller")
    recipe = study.variants[0].recipes[0]
    assert (recipe.contrastive.steps, recipe.model.num_layers, recipe.seed) == (1, 1, 7)


def test_words_of_yaml_1_1_stay_words(tmp_path: Path) -> None:
    study = load_study(write_study(tmp_path, edited("Does it help?", "yes")))
    assert study.question == "yes"
    assert list(study.factors["reconstruction"]) == ["off", "on"]


def test_several_faults_are_told_at_once(tmp_path: Path) -> None:
    text = edited("steps: 4, global_batch: 8", "steps: x, global_batch: y")
    with pytest.raises(StudyError) as caught:
        load_study(write_study(tmp_path, text))
    assert "recipe.contrastive.steps" in str(caught.value)
    assert "recipe.contrastive.global_batch" in str(caught.value)


def test_a_study_is_found_by_name_and_a_near_miss_is_named(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    assert find_study("small", folder=tmp_path) == path
    assert find_study(str(path)) == path
    with pytest.raises(StudyError, match="Did you mean 'small'"):
        find_study("smal", folder=tmp_path)
    with pytest.raises(StudyError, match="no such file"):
        find_study(str(tmp_path / "gone.yaml"), folder=tmp_path)


def test_settings_that_contradict_each_other_are_refused_with_their_reason(tmp_path: Path) -> None:
    text = edited(
        "steps: 4, global_batch: 8", "steps: 4, global_batch: 8}\n  reconstruction: {mask_prompt: true"
    )
    with pytest.raises(StudyError, match="needs `targets: prompted`"):
        load_study(write_study(tmp_path, text))


@pytest.mark.parametrize("train", ["{ranks: 2, gpus: 0.5}", "{gpus: 1.5}"])
def test_a_fraction_of_a_device_is_for_one_rank_alone(train: str, tmp_path: Path) -> None:
    path = write_study(tmp_path, f"{STUDY}resources: {{train: {train}, evaluate: {{gpus: 0.25}}}}\n")
    with pytest.raises(StudyError, match="a fraction is for one rank on one device"):
        load_study(path)
