from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import mteb
import pytest
import safetensors.torch
import torch
from sentence_transformers import SentenceTransformer
from typer.testing import CliRunner

from harness.cli.main import app
from harness.errors import DataError, HarnessError
from harness.evaluation.beir_runner import evaluate_beir
from harness.evaluation.encoder import StudyEncoder
from harness.evaluation.foreign import evaluate_model
from harness.evaluation.mirror import use_mirrors
from harness.evaluation.models import load_foreign
from harness.evaluation.mteb_runner import evaluate_mteb
from harness.evaluation.scores import read_scores
from harness.models.bases import prepare_base
from harness.models.embedder import Embedder
from harness.study.recipe import ModelConfig, PromptConfig
from tests.evaluation.folders import search_data, write_beir_folder

_TASKS = ("STSBenchmark", "SciFact", "Banking77Classification")


@pytest.fixture(scope="module")
def prompted(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of the harness that carries prompts."""
    output = tmp_path_factory.mktemp("prompted")
    prepare_base(
        config=ModelConfig(base="tiny-llama", max_length=64),
        prompts=PromptConfig(query="Find what answers this: ", document="Text: "),
        checkpoint=tiny_checkpoint,
        gguf=None,
        output=output,
    )
    return output


@pytest.fixture(params=["plain", "prompted"])
def model(request: pytest.FixtureRequest, tiny_base: Path, prompted: Path) -> Path:
    """A model folder, without and with prompts."""
    return tiny_base if request.param == "plain" else prompted


def _plain(model: Path, tasks: tuple[str, ...], mirror: Path) -> dict[str, float]:
    with use_mirrors([mirror]):
        result = mteb.evaluate(
            SentenceTransformer(str(model)),
            [mteb.get_task(task) for task in tasks],
            cache=None,
            co2_tracker=False,
            show_progress_bar=False,
        )
    return {task.task_name: task.get_score() for task in result.task_results}


def test_scores_are_those_of_plain_mteb(model: Path, mirror: Path, tmp_path: Path) -> None:
    scores = evaluate_model(str(model), _TASKS, mirrors=[mirror], output=tmp_path, threads=1)
    mains = {score.task: score.value for score in scores if score.is_main}
    assert list(mains) == list(_TASKS)
    assert mains == pytest.approx(_plain(model, _TASKS, mirror), abs=1e-6)
    assert read_scores(tmp_path / "scores.jsonl") == sorted(scores, key=lambda score: score.key)


def test_a_variant_scores_the_same_as_its_folder_through_sentence_transformers(
    model: Path, mirror: Path, tmp_path: Path
) -> None:
    embedder = Embedder.load(model, device="cpu")
    encoder = StudyEncoder(embedder, prompts=embedder.prompts, name="variant", revision="r")
    foreign = load_foreign(str(model))
    write_beir_folder(tmp_path / "small", *search_data())
    for task in _TASKS:
        own = evaluate_mteb(encoder, task, output=tmp_path, mirrors=[mirror])
        other = evaluate_mteb(foreign, task, output=tmp_path, mirrors=[mirror])
        assert [s.value for s in own] == pytest.approx([s.value for s in other], abs=1e-4)
        assert [s.prompt_hash for s in own] == [s.prompt_hash for s in other]
    own, other = (
        evaluate_beir(one, "small", folder=tmp_path, output=tmp_path) for one in (encoder, foreign)
    )
    assert [s.value for s in own] == pytest.approx([s.value for s in other], abs=1e-4)
    assert own[0].prompt_hash == other[0].prompt_hash


def test_a_task_without_data_takes_no_other_with_it(
    tiny_base: Path, mirror: Path, tmp_path: Path
) -> None:
    scores = evaluate_model(
        str(tiny_base), ["NFCorpus", "STSBenchmark"], mirrors=[mirror], output=tmp_path
    )
    failed, done = scores
    assert (failed.task, failed.state, failed.value) == ("NFCorpus", "missing", None)
    assert "mteb/nfcorpus is not in the mirror" in failed.reason
    assert (done.task, done.state) == ("STSBenchmark", "ok")
    assert {score.task for score in read_scores(tmp_path / "scores.jsonl")} == {
        "NFCorpus",
        "STSBenchmark",
    }


def test_a_model_that_gives_no_numbers_has_no_score(
    tiny_base: Path, mirror: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny_base, broken)
    weights = safetensors.torch.load_file(broken / "model.safetensors")
    name = next(name for name in weights if "embed_tokens" in name)
    weights[name] = torch.full_like(weights[name], torch.nan)
    safetensors.torch.save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    (score,) = evaluate_model(str(broken), ["STSBenchmark"], mirrors=[mirror], output=tmp_path / "out")
    assert score.state == "failed"
    assert "STSBenchmark: 40 of 40 embeddings of local/broken are not finite" in score.reason


def test_the_revision_changes_with_the_weights_and_not_with_the_documentation(
    tiny_base: Path, tmp_path: Path
) -> None:
    copy = tmp_path / tiny_base.name
    shutil.copytree(tiny_base, copy)
    (copy / "README.md").write_text("notes")
    original = load_foreign(str(tiny_base)).mteb_model_meta
    assert load_foreign(str(copy)).mteb_model_meta.revision == original.revision
    assert original.name == f"local/{tiny_base.name}"
    weights = safetensors.torch.load_file(copy / "model.safetensors")
    name = next(iter(weights))
    safetensors.torch.save_file(
        {**weights, name: weights[name] + 1}, copy / "model.safetensors", metadata={"format": "pt"}
    )
    assert load_foreign(str(copy)).mteb_model_meta.revision != original.revision


def test_bm25_is_a_model_like_any_other(mirror: Path, tmp_path: Path) -> None:
    scores = evaluate_model("bm25", ["SciFact", "STSBenchmark"], mirrors=[mirror], output=tmp_path)
    assert [score.state for score in scores if score.is_main] == ["ok", "not_applicable"]


@pytest.mark.parametrize("kind", ["absent", "empty", "file"])
def test_a_folder_that_is_no_model_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / kind
    if kind == "empty":
        path.mkdir()
    elif kind == "file":
        path.write_text("")
    with pytest.raises(DataError, match=kind):
        load_foreign(str(path))


def test_a_misspelt_folder_gets_the_nearest_name(tiny_base: Path) -> None:
    with pytest.raises(DataError, match=f"Did you mean '{tiny_base.name}'"):
        load_foreign(f"{tiny_base}x")


def test_a_hub_name_that_cannot_be_had_is_an_error_with_a_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HarnessError, match="model no-such/model: no such folder, and it does not come"):
        load_foreign("no-such/model")


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from harness.cli.main import main; main()", "evaluate", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_verb_prints_json_on_stdout_and_talks_on_stderr(
    tiny_base: Path, mirror: Path, tmp_path: Path
) -> None:
    done = _run(
        # A list, or the option again: none of its tasks is lost.
        *(str(tiny_base), "--tasks", "STSBenchmark", "--tasks", "NFCorpus,STSBenchmark"),
        *("--mirror", str(mirror), "--to", str(tmp_path), "--json"),
    )
    assert done.returncode == 1
    printed = json.loads(done.stdout)
    assert printed["model"] == str(tiny_base)
    assert [score["state"] for score in printed["scores"]] == ["ok", "missing"]
    assert "STSBenchmark: cosine_spearman" in done.stderr
    assert (tmp_path / "scores.jsonl").is_file()


def test_the_verb_shows_a_table_and_ends_with_zero_when_all_have_scores(
    tiny_base: Path, mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_MIRROR", str(mirror))
    result = CliRunner().invoke(
        app, ["evaluate", str(tiny_base), "--tasks", "STSBenchmark", "--to", str(tmp_path)]
    )
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["task", "split", "subset", "metric", "score"]
    assert lines[1].split()[:4] == ["STSBenchmark", "test", "default", "cosine_spearman"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bm25", "--tasks", "SciFakt"), "Did you mean 'SciFact'"),
        (("bm25", "--tasks", ","), "neither --benchmark nor --tasks names a task"),
    ],
)
def test_wrong_use_is_refused_at_once(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    done = _run(*arguments, "--to", str(tmp_path / "out"))
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "out").exists()


def test_a_mirror_that_is_not_there_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        evaluate_model("bm25", ["SciFact"], mirrors=[tmp_path / "absent"], output=tmp_path)


def test_with_a_mirror_a_models_name_means_the_mirrors_files(
    tiny_base: Path, mirror: Path, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    shutil.copytree(tiny_base, models / "org" / "tiny")
    mirrors = [models, mirror]
    by_name = evaluate_model("org/tiny", ["STSBenchmark"], mirrors=mirrors, output=tmp_path / "name")
    by_path = evaluate_model(
        str(tiny_base), ["STSBenchmark"], mirrors=[mirror], output=tmp_path / "path"
    )
    assert [score.value for score in by_name] == [score.value for score in by_path]
    assert by_name[0].source.startswith("results/org__tiny/")
    with pytest.raises(DataError, match=r"model org/gone is not in the mirror"):
        evaluate_model("org/gone", ["STSBenchmark"], mirrors=mirrors, output=tmp_path / "gone")
