"""A plan holds every step once, and a step's identity is what can change its result."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from harness.identity import fingerprint
from harness.plan import Plan, Step, compile_plan
from harness.plan.graph import make_step
from harness.study import load_study
from tests.study.builders import STUDY, edited, write_study


def _plan(folder: Path, text: str = STUDY, profile: str | None = None) -> Plan:
    folder.mkdir(exist_ok=True)
    return compile_plan(load_study(write_study(folder, text), profile=profile))


def _stages(plan: Plan) -> list[str]:
    return [step.stage for step in plan.steps.values()]


def _models(plan: Plan) -> list[str]:
    return [member.model for row in plan.rows for member in row.members]


def test_variants_share_what_they_do_not_differ_in(tmp_path: Path) -> None:
    stages = _stages(_plan(tmp_path))
    # Two temperatures x reconstruction on/off: one base, one source, one stage I for both temperatures.
    counts = {stage: stages.count(stage) for stage in set(stages)}
    assert counts == {"source": 1, "base": 1, "reconstruct": 1, "contrast": 4, "evaluate": 4}


def test_inputs_come_before_what_needs_them(tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    seen: set[str] = set()
    for name, step in plan.steps.items():
        assert set(step.inputs.values()) <= seen
        seen.add(name)


def test_a_task_of_two_suites_is_one_step(tmp_path: Path) -> None:
    text = STUDY + "  again: {source: news, tasks: [BBCTopicClassification, BBCTopicClustering]}\n"
    plan = _plan(tmp_path, text)
    assert _stages(plan).count("evaluate") == 8
    for row in plan.rows:
        evaluations = row.members[0].evaluations
        assert (
            evaluations["news", "BBCTopicClassification"]
            == evaluations["again", "BBCTopicClassification"]
        )


def test_places_names_and_resources_are_no_part_of_the_identity(tmp_path: Path) -> None:
    first = _plan(tmp_path / "a")
    moved = STUDY.replace("tiny:", "renamed:").replace("base: tiny", "base: renamed")
    moved += "resources: {train: {cpus: 2, gpus: 0.5}}\n"
    assert list(_plan(tmp_path / "b", moved).steps) == list(first.steps)


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("global_batch: 8, learning_rate", "global_batch: 4, learning_rate", {"contrast", "evaluate"}),
        ("reconstruction.steps: 2", "reconstruction.steps: 3", {"reconstruct", "contrast", "evaluate"}),
        ("{base: tiny}", "{base: tiny, num_layers: 1}", {"base", "reconstruct", "contrast", "evaluate"}),
        ("kind: bbc", "kind: bbc, seed: 5", {"source", "reconstruct", "contrast", "evaluate"}),
        ("BBCTopicClassification", "BBCTopicClustering", {"evaluate"}),
    ],
)
def test_a_change_reaches_what_depends_on_it_and_nothing_else(
    old: str, new: str, changed: set[str], tmp_path: Path
) -> None:
    before = _plan(tmp_path / "a")
    after = _plan(tmp_path / "b", edited(old, new))
    assert {after.steps[name].stage for name in after.steps.keys() - before.steps.keys()} == changed


def test_local_data_is_known_by_its_content(tmp_path: Path) -> None:
    before = _plan(tmp_path)
    study = load_study(tmp_path / "small.yaml")
    (tmp_path / "news" / "content").write_text("other")
    after = compile_plan(study)
    new = {after.steps[name].stage for name in after.steps.keys() - before.steps.keys()}
    assert "source" in new
    assert "base" not in new


def test_seeds_share_a_stage_whose_seed_is_fixed(tmp_path: Path) -> None:
    fixed = edited("reconstruction.steps: 2", "reconstruction.seed: 0, reconstruction.steps: 2")
    own = _plan(tmp_path / "a", STUDY + "seeds: [1, 2]\n")
    shared = _plan(tmp_path / "b", fixed + "seeds: [1, 2]\n")
    assert _stages(own).count("reconstruct") == 2
    assert _stages(shared).count("reconstruct") == 1
    assert len(set(_models(shared))) == 8


def test_references_add_the_untrained_base_and_lexical_search(tmp_path: Path) -> None:
    plan = _plan(tmp_path, STUDY + "references: [untrained, bm25]\n")
    untrained, bm25 = plan.rows[-2:]
    assert (untrained.label, bm25.label) == ("untrained", "BM25")
    assert plan.steps[untrained.members[0].model].stage == "base"
    assert bm25.members[0].model == ""
    (lexical,) = bm25.members[0].evaluations.values()
    assert set(plan.steps[lexical].inputs) == {"source"}


def test_a_stage_without_steps_is_left_out(tmp_path: Path) -> None:
    plan = _plan(tmp_path, edited("steps: 4", "steps: 0"))
    assert "contrast" not in _stages(plan)
    assert {plan.steps[name].stage for name in _models(plan)} == {"base", "reconstruct"}


def test_slugs_tell_models_apart_and_are_safe_as_folder_names(tmp_path: Path) -> None:
    plan = _plan(tmp_path, STUDY + "seeds: [1, 2]\n")
    slugs = [member.slug for row in plan.rows for member in row.members]
    assert len(set(slugs)) == len(slugs)
    assert all(os.sep not in slug and "/" not in slug for slug in slugs)


def test_a_step_made_of_shared_parts_has_the_fingerprint_of_its_payload(tmp_path: Path) -> None:
    plan = _plan(tmp_path, STUDY + "references: [untrained, bm25]\nseeds: [1, 2]\n")
    for name, step in plan.steps.items():
        assert name == step.fingerprint == fingerprint(step.payload)


def test_large_plans_make_each_step_once_and_share_what_variants_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def count(stage: str, *arguments: Any, **rest: Any) -> Step:
        made.append(stage)
        return make_step(stage, *arguments, **rest)

    monkeypatch.setattr("harness.plan.compile.make_step", count)
    rates = ", ".join(f"{number}e-5" for number in range(1, 41))
    text = edited("factors:\n", f"factors:\n  contrastive.learning_rate: [{rates}]\n")
    (tmp_path / "a").mkdir()
    study = load_study(write_study(tmp_path / "a", text))
    assert len({id(variant.recipes[0].contrastive) for variant in study.variants}) == 80
    assert len({id(variant.recipes[0].model) for variant in study.variants}) == 1
    plan = compile_plan(study)
    assert len(study.variants) == 160
    assert len(made) == len(plan.steps) == 160 * 2 + 3


def test_the_longest_chain_is_the_most_urgent(tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    urgencies = plan.urgencies()
    for step in plan.steps.values():
        for needed in step.inputs.values():
            assert urgencies[needed] > urgencies[step.fingerprint]


_DATA = "data: {source: news, pairs: headlines}"


def test_a_study_without_held_out_pairs_says_nothing_of_them(tmp_path: Path) -> None:
    """So that steps keep the fingerprints that they had before there were any."""
    for step in _plan(tmp_path).steps.values():
        assert "validation" not in step.config
        for settings in (step.config.get("contrastive", {}), step.config.get("reconstruction", {})):
            assert not {"keep", "validate_every"} & set(settings)


def test_held_out_pairs_and_the_step_that_is_kept_are_part_of_what_a_stage_is(tmp_path: Path) -> None:
    def new(before: Plan, after: Plan) -> set[str]:
        return {after.steps[name].stage for name in after.steps.keys() - before.steps.keys()}

    plain = _plan(tmp_path / "a")
    held_out = edited(_DATA, f"{_DATA[:-1]}, validation: {{pairs: 5}}}}")
    measured = _plan(tmp_path / "b", held_out)
    assert new(plain, measured) == {"reconstruct", "contrast", "evaluate"}
    kept = _plan(tmp_path / "c", held_out.replace("{steps: 4,", "{steps: 4, keep: best,"))
    assert new(measured, kept) == {"contrast", "evaluate"}
    contrast = next(step for step in kept.steps.values() if step.stage == "contrast")
    assert contrast.config["validation"] == {"pairs": 5, "share": None, "seed": 0}
    assert contrast.config["contrastive"]["keep"] == "best"
