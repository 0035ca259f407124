"""A study whose trainings have two ranks: the same steps, the same kind of result, on both backends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command import run_harness
from tests.end_to_end.conftest import STUDY


def _write(path: Path, study: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(study), encoding="utf-8")
    return path


@pytest.fixture
def study(tiny_checkpoint: Path, tiny_news: Path) -> dict[str, Any]:
    """One variant, one task, and a few pairs by which the best step is chosen."""
    study: dict[str, Any] = yaml.safe_load(STUDY.format(checkpoint=tiny_checkpoint, news=tiny_news))
    study |= {"seeds": [1], "references": []}
    study["recipe"]["data"]["validation"] = {"pairs": 6}
    study["recipe"]["contrastive"] |= {"keep": "best", "validate_every": 3}
    study["suites"] = {"news-beir": study["suites"]["news-beir"]}
    return study


def _fingerprints(path: Path, home: Path) -> set[str]:
    done = run_harness("plan", str(path), "--json", "--home", str(home))
    assert done.returncode == 0, done.stderr
    return {step["step"] for step in json.loads(done.stdout)["steps"]}


@pytest.mark.parametrize(
    ("backend", "strategy", "level"),
    [("in-process", "fsdp", "on"), ("ray", "ddp", "off")],
)
def test_ranks_change_neither_steps_nor_what_comes_of_them(
    backend: str, strategy: str, level: str, study: dict[str, Any], tmp_path: Path
) -> None:
    # Plain YAML reads these two names as truth values.
    levels = study["factors"]["reconstruction"]
    study["factors"]["reconstruction"] = {level: levels[level == "on"]}
    alone = _write(tmp_path / "alone.yaml", study)
    study["resources"] = {
        "train": {"ranks": 2, "cpus": 2, "strategy": strategy, "trackers": ["tensorboard"]}
    }
    together = _write(tmp_path / "together.yaml", study)
    home = tmp_path / "store"
    steps = _fingerprints(alone, home)
    assert _fingerprints(together, home) == steps

    options = ["--home", str(home), "--reports", str(tmp_path / "reports"), "--json"]
    done = run_harness("run", str(together), "--backend", backend, *options)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"]["run"] == len(steps)

    (artifact,) = (home / "artifacts" / "contrast").iterdir()
    assert {"model.safetensors", "metrics.jsonl"} <= {path.name for path in artifact.iterdir()}
    trained = json.loads((artifact / "harness_training.json").read_text())
    rows = [json.loads(line) for line in (artifact / "metrics.jsonl").read_text().splitlines()]
    losses = {row["step"] + 1: row["validation_loss"] for row in rows if "validation_loss" in row}
    assert list(losses) == [3, 6, 9, 12]
    assert losses[trained["step"]] == min(losses.values())
    (log,) = (home / "logs").glob("contrast-*.log")
    # Rank 0 alone reports.
    assert log.read_text().count("step 1/12,") == 1
    # Checkpoints and optimiser go with the step; trackers' files stay, under the step's short name.
    assert not list((home / "partial").iterdir())
    assert list((home / "tracking" / f"contrast-{artifact.name[:12]}" / "tensorboard").iterdir())
    # Run without ranks, everything is there already.
    again = run_harness("run", str(alone), "--backend", "in-process", *options)
    assert json.loads(again.stdout)["steps"]["run"] == 0
