"""Training sources as steps: made, cleaned, mined and mixed, each once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.data.pair_sets import PairSet, set_path
from harness.errors import StudyError
from harness.execution.backends import InProcessBackend
from harness.execution.runner import run_plan
from harness.execution.store import ArtifactStore
from harness.plan.compile import compile_plan
from harness.plan.needs import hub_needs
from harness.plan.pairs import compile_pairs
from harness.study import Study, load_study
from tests.evaluation.folders import write_lines, write_readme
from tests.study.builders import STUDY, edited, write_study

_SOURCES = """sources:
  news: {kind: bbc, path: news}
  first: {kind: files, path: first.jsonl, clean: {min_characters: 3}, in_domain: [NQ]}
  second: {kind: files, path: second.jsonl, in_domain: [FEVER, NQ]}
  both:
    kind: mixture
    parts: {first: 1, second: 0.5}
    clean: {duplicates: near}
    mine: {method: bm25, num_negatives: 2}
"""


def _study(folder: Path, sources: str = _SOURCES) -> Study:
    old = next(line for line in STUDY.splitlines() if "kind: bbc" in line)
    folder.mkdir(exist_ok=True)
    path = write_study(folder, edited(f"sources:\n{old}\n", sources))
    for name, first in (("first", 0), ("second", 30)):
        rows = [
            {
                "query": f"what is word{i} of topic{i % 4}",
                "positive": f"word{i} is about topic{i % 4} here",
            }
            for i in range(first, first + 40)
        ]
        write_lines(folder / f"{name}.jsonl", [*rows, {"query": "no", "positive": "too short"}])
    return load_study(path)


def _run(study: Study, source: str, home: Path, mirrors: tuple[Path, ...] = ()) -> Path:
    plan, last = compile_pairs(study, source)
    store = ArtifactStore(home)
    told: list[str] = []
    summary = run_plan(
        plan,
        store,
        InProcessBackend,
        mirrors=mirrors,
        progress=lambda event, step, message: told.append(f"{event} {step.stage} {message}"),
    )
    assert not summary.failed, told
    return store.folder(last.stage, last.fingerprint)


def test_a_mixture_is_made_of_cleaned_parts_and_mined_as_a_whole(tmp_path: Path) -> None:
    study = _study(tmp_path / "study")
    plan, last = compile_pairs(study, "both")
    assert [step.stage for step in plan.steps.values()] == [
        "source", "clean", "source", "mix", "clean", "mine",
    ]  # fmt: skip
    folder = _run(study, "both", tmp_path / "home")
    pairs = PairSet(set_path(folder, "default"))
    texts = {pair.positive for pair in pairs}
    assert {pair.dataset for pair in pairs} == {"first", "second"}
    for pair in pairs:
        assert len(set(pair.negatives)) == 2
        assert set(pair.negatives) <= texts - {pair.positive}
    statistics = json.loads((folder / "statistics.json").read_text())
    assert statistics["sets"]["default"]["all"]["pairs"] == len(pairs)
    assert statistics["sets"]["default"]["all"]["with_hard_negatives"] == len(pairs)
    assert last.stage == "mine"


def test_every_dropped_pair_is_counted_beside_what_is_kept(tmp_path: Path) -> None:
    study = _study(tmp_path / "study")
    folder = _run(study, "first", tmp_path / "home")
    statistics = json.loads((folder / "statistics.json").read_text())
    assert statistics["cleaning"] == {"kept": 40, "too short": 1}


def test_a_changed_share_changes_the_mixture_alone(tmp_path: Path) -> None:
    before, _ = compile_pairs(_study(tmp_path / "a"), "both")
    after, _ = compile_pairs(
        _study(tmp_path / "b", _SOURCES.replace("second: 0.5", "second: 0.4")), "both"
    )
    changed = [after.steps[name].stage for name in after.steps if name not in before.steps]
    assert changed == ["mix", "clean", "mine"]


def test_dense_mining_takes_a_base_of_the_study_as_its_input(tmp_path: Path) -> None:
    sources = _SOURCES.replace("method: bm25", "method: dense, base: tiny, max_score: 0.95")
    plan, last = compile_pairs(_study(tmp_path, sources), "both")
    assert plan.steps[last.inputs["model"]].stage == "base"
    assert "base" not in last.config["mining"]


def test_a_variant_can_train_on_a_papers_mixture_with_a_copy_of_its_own(tmp_path: Path) -> None:
    sources = _SOURCES + "  open_synthetic: {kind: files, path: first.jsonl}\n"
    text = "data: {source: synthetic+msmarco"
    study = _study(tmp_path, sources)
    written = study.path.read_text().replace("data: {source: news, pairs: headlines", text)
    study.path.write_text(written)
    plan = compile_plan(load_study(study.path))
    mix = next(step for step in plan.steps.values() if step.stage == "mix")
    assert [(part["name"], part["share"]) for part in mix.config["parts"]] == [
        ("open_synthetic", 1.0),
        # The repository's copy is the half that the paper samples.
        ("msmarco_passage", 1.0),
    ]
    needs = [need for need in hub_needs(plan.steps.values()) if need.kind == "dataset"]
    assert "cfli/bge-e5data" in [need.name for need in needs]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("second: 0.5", "secnd: 0.5", "no source 'secnd'"),
        ("second: 0.5", "both: 0.5", "the mixture is a part of itself: both in both"),
        ("second: 0.5", "second: 1.5", "less than or equal to 1"),
        ("second: 0.5", "news/headlins: 1", "no pair set 'headlins'"),
        ("method: bm25", "method: dense", "`base` names the embedder of `method: dense`"),
        ("method: bm25", "method: bm25, skip: 99", "depth 100 leaves no 2 negatives"),
        ("min_characters: 3", "min_characters: 3, max_characters: 2", "min_characters 3 is more than"),
        ("path: second.jsonl", "path: third.jsonl", "no such file or folder"),
        (
            "second: {kind: files, path: second.jsonl, in_domain: [FEVER, NQ]}",
            "second: {kind: docstrings, packages: [numpi]}",
            "the package 'numpi' is not installed",
        ),
        (
            "second: {kind: files, path: second.jsonl, in_domain: [FEVER, NQ]}",
            "second: {kind: catalogue, name: hotpot}",
            "no training set 'hotpot'",
        ),
        (
            "second: {kind: files, path: second.jsonl, in_domain: [FEVER, NQ]}",
            "second: {kind: catalogue, name: open_synthetic}",
            "needs the `revision` of jspringer/open-synthetic-embeddings",
        ),
    ],
)
def test_a_faulty_source_is_refused_with_its_line(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    assert old in _SOURCES
    with pytest.raises(StudyError) as caught:
        _study(tmp_path, _SOURCES.replace(old, new))
    assert message in str(caught.value)
    assert "small.yaml:" in str(caught.value)


def test_a_set_of_the_catalogue_is_read_from_a_mirror_split_by_split(tmp_path: Path) -> None:
    repository = tmp_path / "mirror" / "cfli" / "bge-e5data"
    splits = ("miracl_es", "miracl_fr", "nq")
    for split in splits:
        rows = [
            {
                "query": f"{split} {i}",
                "pos": [f"answer {i}"],
                "neg": ["wrong"],
                "prompt": "",
                "type": "x",
            }
            for i in range(3)
        ]
        write_lines(repository / f"{split}.jsonl", rows)
    write_readme(repository, {"default": {split: f"{split}.jsonl" for split in splits}})
    sources = _SOURCES + "  spanish: {kind: catalogue, name: miracl}\n"
    study = _study(tmp_path / "study", sources)
    folder = _run(study, "spanish", tmp_path / "home", mirrors=(tmp_path / "mirror",))
    pairs = list(PairSet(set_path(folder, "default")))
    assert [pair.query for pair in pairs] == [f"{s} {i}" for s in splits[:2] for i in range(3)]
    assert {pair.dataset for pair in pairs} == {"miracl"}
    assert all(pair.instruction and pair.instruction.startswith("Given a question,") for pair in pairs)
    statistics = json.loads((folder / "statistics.json").read_text())
    assert statistics["columns_passed_over"] == {"type": 6}


def test_code_and_docstrings_of_installed_packages_are_pairs(tmp_path: Path) -> None:
    sources = _SOURCES + "  code: {kind: docstrings, packages: [pluggy]}\n"
    folder = _run(_study(tmp_path / "study", sources), "code", tmp_path / "home")
    pairs = list(PairSet(set_path(folder, "default")))
    assert len(pairs) > 10
    for pair in pairs:
        assert "def " in pair.positive
        assert pair.query not in pair.positive
        assert pair.dataset == "pluggy"
