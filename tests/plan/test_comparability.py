"""Compared rows differ in what is compared and in nothing else, or the study says what more."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from harness.errors import StudyError
from harness.execution.collect import collect
from harness.execution.store import ArtifactStore
from harness.plan import compile_plan
from harness.plan.comparability import Confounded, check_comparable, confounded_pairs
from harness.plan.environments import Made
from harness.study import load_study
from harness.tables.build import build_table
from tests.command import run_harness
from tests.study.builders import STUDY, write_study

HALF = Path(__file__).parent / "half_the_batch"
NOW = Made(versions={"torch": "2.9"}, machine={"machine": "x86_64", "num_cpus": 2})


def copy_half(folder: Path, more: str = "") -> Path:
    shutil.copytree(HALF, folder, dirs_exist_ok=True)
    path = folder / "study.yaml"
    path.write_text(path.read_text() + more)
    return path


def _pairs(path: Path, **rest: object) -> list[Confounded]:
    study = load_study(path)
    return confounded_pairs(study, compile_plan(study), **rest)  # type: ignore[arg-type]


def _factor(text: str) -> str:
    """Return the small study with one factor in place of its own."""
    before, _, after = STUDY.partition("factors:\n")
    return f"{before}factors:\n{text}suites:\n{after.partition('suites:')[2][1:]}"


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_a_baseline_with_half_the_batch_is_refused_with_both_values(verb: str, tmp_path: Path) -> None:
    path = copy_half(tmp_path)
    done = run_harness(verb, str(path), "--home", str(tmp_path / "store"))
    assert done.returncode == 2
    assert "contrastive.global_batch 1024 against 512" in done.stderr
    assert "stage II negatives a query 2047 against 1023" in done.stderr
    assert "'method=anchor' and 'method=baseline'" in done.stderr
    assert "allow: [contrastive.global_batch]" in done.stderr
    assert not (tmp_path / "store").exists()


def test_what_a_study_allows_is_planned_told_and_marked_in_its_table(tmp_path: Path) -> None:
    path = copy_half(tmp_path, "allow: [contrastive.global_batch]\n")
    home = ["--home", str(tmp_path / "store")]
    done = run_harness("plan", str(path), *home)
    assert done.returncode == 0, done.stderr
    assert "contrastive.global_batch 1024 against 512" in done.stdout
    (told,) = json.loads(run_harness("plan", str(path), "--json", *home).stdout)["confounded"]
    assert told["fields"] == ["contrastive.global_batch"]
    study = load_study(path)
    summary, records = collect(study, compile_plan(study), ArtifactStore(tmp_path / "store"))
    table = build_table(summary, records)
    anchor = next(row for row in table.rows if row.label == "method=anchor")
    texts = {one.mark: one.text for one in table.footnotes}
    assert any("stage II pairs a step 1024 against 512" in texts[mark] for mark in anchor.notes)


def test_what_the_guard_tells_of_quantities_stands_in_the_table_too(tmp_path: Path) -> None:
    study = load_study(copy_half(tmp_path, "allow: [contrastive.global_batch]\n"))
    plan = compile_plan(study)
    (pair,) = confounded_pairs(study, plan)
    summary, records = collect(study, plan, ArtifactStore(tmp_path / "store"))
    footnotes = " ".join(one.text for one in build_table(summary, records).footnotes)
    derived = [text for text in pair.quantities if text.startswith("stage")]
    assert len(derived) == 4
    assert all(text in footnotes for text in derived)


@pytest.mark.parametrize(
    "factor",
    [
        "  contrastive.global_batch: [4, 8]\n",
        "  batch: {a: {contrastive.global_batch: 4, contrastive.steps: 8}, b: {}}\n",
        "  length: {a: {}, b: {contrastive.steps: 9, contrastive.warmup_steps: 2}}\n",
        "  model.dtype: [float32, bfloat16]\n",
        "  contrastive.seed: [1, 2]\n",
        "  reconstruction: {off: {}, on: {reconstruction.steps: 2, reconstruction.global_batch: 2}}\n",
        "  unused: {a: {}, b: {reconstruction.global_batch: 2, contrastive.temperature: 0.5}}\n",
        "  rate: {a: {}, b: {contrastive.learning_rate: 0.5, contrastive.temperature: 0.5}}\n",
    ],
)
def test_a_factor_may_be_about_amounts_or_about_anything_else(factor: str, tmp_path: Path) -> None:
    assert _pairs(write_study(tmp_path, _factor(factor))) == []


@pytest.mark.parametrize(
    ("level", "field"),
    [
        ("{contrastive.temperature: 0.5, contrastive.num_negatives: 1}", "contrastive.num_negatives"),
        ("{contrastive.temperature: 0.5, model.dtype: bfloat16}", "model.dtype"),
        ("{contrastive.temperature: 0.5, prompts.query: 'q: '}", "prompts.query"),
        ("{model.base: big, contrastive.steps: 9}", "contrastive.steps"),
        ("{contrastive.tuning.rank: 4, model.max_length: 9}", "model.max_length"),
        ("{reconstruction.steps: 3, contrastive.steps: 1}", "contrastive.steps"),
        ("{contrastive.temperature: 0.5, contrastive.seed: 3}", "contrastive.seed"),
    ],
)
def test_a_treatment_with_another_amount_prompt_format_or_seed_is_confounded(
    level: str, field: str, tmp_path: Path
) -> None:
    text = _factor(f"  what: {{a: {{}}, b: {level}}}\n  contrastive.weight_decay: [0.0, 0.1, 0.2]\n")
    path = write_study(tmp_path, text)
    (pair,) = _pairs(path)
    assert (pair.factor, pair.fields, pair.num_pairs) == ("what", (field,), 3)
    with pytest.raises(StudyError, match=field.replace(".", "[.]")):
        check_comparable(load_study(path), [pair])
    section = field.partition(".")[0]
    (allowed,) = _pairs(write_study(tmp_path, f"{text}allow: [{section}]\n"))
    assert allowed.is_allowed
    check_comparable(load_study(path), [allowed])


def test_texts_that_end_in_blanks_are_told_in_quotes(tmp_path: Path) -> None:
    factor = "  what: {a: {}, b: {model.base: big, prompts.query: 'q: '}}\n"
    (pair,) = _pairs(write_study(tmp_path, _factor(factor)))
    assert pair.quantities == ("prompts.query 'q: ' against ''",)


def test_a_study_declares_which_pairs_it_compares(tmp_path: Path) -> None:
    level = "{contrastive.temperature: 0.5, contrastive.steps: 9}"
    text = _factor(f"  what: {{a: {{}}, b: {level}, c: {{contrastive.temperature: 0.9}}}}\n")
    compared = "comparisons: [{factor: what, levels: [%s]}]\n"
    assert len(_pairs(write_study(tmp_path, text))) == 1
    assert _pairs(write_study(tmp_path, text + compared % "a, c")) == []
    (pair,) = _pairs(write_study(tmp_path, text + compared % "c, b"))
    assert (pair.row, pair.counterpart) == ("what=b", "what=c")
    allowing = "comparisons: [{factor: what, allow: [contrastive.steps]}]\n"
    assert [one.is_allowed for one in _pairs(write_study(tmp_path, text + allowing))] == [True]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("allow: [contrastive.global_bach]\n", "Did you mean 'global_batch'?"),
        ("comparisons: [{factor: reconstructon}]\n", "Did you mean 'reconstruction'?"),
        ("comparisons: [{factor: reconstruction, levels: [off, onn]}]\n", "Did you mean 'on'?"),
        ("comparisons: [{factor: reconstruction, levels: [on, on]}]\n", "stands twice"),
    ],
)
def test_a_name_that_no_study_has_is_told(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"small\.yaml:\d+: (allow|comparisons)") as caught:
        load_study(write_study(tmp_path, STUDY + text))
    assert said in str(caught.value)


def test_rows_made_under_other_versions_or_on_other_devices_are_confounded(tmp_path: Path) -> None:
    study = load_study(write_study(tmp_path, _factor("  contrastive.temperature: [0.1, 0.2]\n")))
    plan = compile_plan(study)
    first = plan.rows[0].members[0].model
    older = Made(versions={"torch": "2.8"}, machine={"machine": "arm64", "num_cpus": 96})
    same = Made(versions={"torch": "2.9"}, machine={"machine": "x86_64", "num_cpus": 96})
    assert confounded_pairs(study, plan, made={first: same}, now=NOW) == []
    (pair,) = confounded_pairs(study, plan, made={first: older}, now=NOW)
    assert pair.fields == ("devices", "versions")
    told = ("machine x86_64 against arm64 and x86_64", "torch 2.9 against 2.8 and 2.9")
    assert pair.quantities == told
    with pytest.raises(StudyError, match=r"allow: \[devices, versions\]"):
        check_comparable(study, [pair])


def test_the_shared_steps_of_all_rows_confound_none(tmp_path: Path) -> None:
    study = load_study(write_study(tmp_path))
    plan = compile_plan(study)
    older = Made(versions={"torch": "2.8"}, machine={})
    made = {name: older for name, step in plan.steps.items() if step.stage in {"base", "source"}}
    assert confounded_pairs(study, plan, made=made, now=NOW) == []
