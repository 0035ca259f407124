"""What a row was made from, told from the plan alone."""

from __future__ import annotations

from pathlib import Path

from harness.execution.collect import in_domain_tasks
from harness.execution.configuration import describe_row, split_shared
from harness.plan import Plan, compile_plan
from harness.plan.quantities import derive_quantities
from harness.study import load_study
from tests.study.builders import STUDY, edited, write_study


def _plan(folder: Path, text: str = STUDY) -> Plan:
    return compile_plan(load_study(write_study(folder, text)))


def test_a_row_tells_every_field_of_every_stage_behind_it(tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    on = next(row for row in plan.rows if row.levels["reconstruction"] == "on")
    found = describe_row(plan, on)
    assert found["contrast.contrastive.temperature"] == "0.02"
    assert found["reconstruct.reconstruction.steps"] == "2"
    assert found["base.model.pooling"] == "last"
    assert found["contrast.version"]
    assert {name.partition(".")[0] for name in found} == {"contrast", "reconstruct", "base", "source"}


def test_the_seed_that_tells_members_apart_is_no_field(tmp_path: Path) -> None:
    plan = _plan(tmp_path, STUDY + "seeds: [1, 2]\n")
    assert len(plan.rows[0].members) == 2
    assert "contrast.seed" not in describe_row(plan, plan.rows[0])


def test_two_steps_of_one_kind_are_told_apart(tmp_path: Path) -> None:
    text = edited(
        "  contrastive: {steps: 4",
        "  pretraining: {steps: 3, global_batch: 2, seed: 0}\n  contrastive: {steps: 4",
    )
    plan = _plan(tmp_path, text)
    found = describe_row(plan, plan.rows[0])
    assert found["contrast.contrastive.steps"] == "4"
    assert found["contrast-2.contrastive.steps"] == "3"
    derived = derive_quantities(plan, plan.rows[0])
    assert (derived["stage 0 pairs seen"], derived["stage II pairs seen"]) == ("6", "32")


def test_derived_quantities_follow_from_the_settings(tmp_path: Path) -> None:
    text = edited("{steps: 4, global_batch: 8,", "{steps: 4, global_batch: 8, num_negatives: 2,")
    plan = _plan(tmp_path, text)
    found = derive_quantities(plan, plan.rows[0])
    # Seven other positives, and two hard negatives of each of eight pairs.
    assert found["stage II negatives a query"] == "23"
    assert found["dtype"] == "float32"
    assert "stage I optimiser steps" not in found


def test_shared_fields_are_told_once_and_nothing_is_lost() -> None:
    configs = [{"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"}]
    shared, own = split_shared(configs)
    assert shared == {"a": "1"}
    assert [{**shared, **one} for one in own] == configs
    assert split_shared([]) == ({}, [])


def test_what_is_in_domain_is_said_by_every_source_in_use_and_changes_no_step(tmp_path: Path) -> None:
    news = "news: {kind: bbc, path: news"
    study = load_study(write_study(tmp_path))
    stated = load_study(write_study(tmp_path, edited(news, news + ", in_domain: [B, A]")))
    assert in_domain_tasks(stated) == ("A", "B")
    assert set(in_domain_tasks(study) or ()) > {"BBCTopicClassification"}
    assert list(compile_plan(stated).steps) == list(compile_plan(study).steps)
    pairs = "pairs: {kind: files, path: pairs.jsonl}"
    (tmp_path / "pairs.jsonl").write_text("{}")
    silent = edited("  news: {kind: bbc, path: news}", f"  news: {{kind: bbc, path: news}}\n  {pairs}")
    weak = silent.replace(
        "  contrastive: {steps: 4",
        "  weak_data: {source: pairs}\n  contrastive: {steps: 4",
    )
    assert in_domain_tasks(load_study(write_study(tmp_path, silent))) is not None
    # A source in use that says nothing leaves it open.
    assert in_domain_tasks(load_study(write_study(tmp_path, weak))) is None


def test_the_best_step_and_what_is_held_out_are_told_beside_what_follows_from_a_row(
    tmp_path: Path,
) -> None:
    text = edited("pairs: headlines}", "pairs: headlines, validation: {pairs: 5}}")
    text = text.replace("{steps: 4,", "{steps: 4, keep: best,")
    plain, kept = _plan(tmp_path), _plan(tmp_path, text)
    told = derive_quantities(kept, kept.rows[0])
    assert told["stage II result"] == "the best step by held-out loss"
    assert told["stage II held out"] == "5 pairs"
    assert not {"stage II result", "stage II held out"} & set(derive_quantities(plain, plain.rows[0]))
