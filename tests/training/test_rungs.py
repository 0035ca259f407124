"""Training that stops at rungs and goes on from them ends where undisturbed training ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.identity import file_sha256
from harness.study.document import Resources
from harness.study.recipe import ContrastiveConfig, PromptConfig, TuningConfig
from harness.training.curves import METRICS
from harness.training.job import TrainingJob
from harness.training.train import train


def _train(
    base: Path, pairs: Path, folder: Path, *, until: int | None, resume: Path | None, seed: int = 1
) -> tuple[Path, list[str]]:
    config = ContrastiveConfig(
        steps=6,
        global_batch=4,
        temperature=0.1,
        learning_rate=1e-2,
        warmup_steps=2,
        query_length=12,
        document_length=20,
        tuning=TuningConfig(method="lora", rank=4, alpha=8, dropout=0.2),
    )
    job = TrainingJob(
        base=base,
        pairs=pairs,
        config=config,
        prompts=PromptConfig(),
        seed=seed,
        output=folder / "output",
        scratch=folder / "scratch",
        checkpoint_every=100,
        until=until,
        resume=resume,
    )
    said: list[str] = []
    train(job, Resources(cpus=1), device="cpu", report=said.append)
    return folder / "output", said


def _digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): file_sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != METRICS
    }


@pytest.fixture(scope="module")
def whole(tiny_base: Path, pairs_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    return _train(tiny_base, pairs_file, folder, until=None, resume=None)[0]


def test_rungs_change_nothing_but_where_the_time_goes(
    whole: Path, tiny_base: Path, pairs_file: Path, tmp_path: Path
) -> None:
    before = None
    for until in (2, 5, None):
        before, said = _train(tiny_base, pairs_file, tmp_path / str(until), until=until, resume=before)
        assert len((before / METRICS).read_text().splitlines()) == (until or 6)
        if until != 2:
            assert f"going on from step {2 if until == 5 else 5}" in said
    assert before is not None
    assert _digests(before) == _digests(whole)


def test_a_rung_is_a_model_of_its_own(
    whole: Path, tiny_base: Path, pairs_file: Path, tmp_path: Path
) -> None:
    from harness.models.embedder import Embedder

    rung, _ = _train(tiny_base, pairs_file, tmp_path, until=3, resume=None)
    early = Embedder.load(rung, device="cpu").encode(["a text"])
    late = Embedder.load(whole, device="cpu").encode(["a text"])
    assert abs(early - late).max() > 1e-4


@pytest.mark.parametrize("fault", ["gone", "of another training", "damaged"])
def test_a_rung_that_cannot_be_used_costs_time_alone(
    fault: str, whole: Path, tiny_base: Path, pairs_file: Path, tmp_path: Path
) -> None:
    rung = tmp_path / "nothing"
    if fault != "gone":
        seed = 2 if fault == "of another training" else 1
        rung, _ = _train(tiny_base, pairs_file, tmp_path / "rung", until=3, resume=None, seed=seed)
    if fault == "damaged":
        (tensors,) = rung.glob("checkpoints/*/tensors.safetensors")
        tensors.write_bytes(tensors.read_bytes()[:-4])
    output, said = _train(tiny_base, pairs_file, tmp_path / "again", until=None, resume=rung)
    assert not any(line.startswith("going on from step") for line in said)
    assert _digests(output) == _digests(whole)
