"""A tracker without its library is told before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli import plan, run
from harness.errors import HarnessError
from tests.study.builders import STUDY, write_study

_TRACKED = "resources: {train: {trackers: [wandb]}}\n"


@pytest.fixture(autouse=True)
def _no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.training.trackers.find_spec", lambda name: None)


def test_plan_and_run_name_the_command_that_brings_it(tmp_path: Path) -> None:
    path = write_study(tmp_path, STUDY + _TRACKED)
    for verb in (plan.command, run.command):
        with pytest.raises(HarnessError, match="names 'wandb', but its library is not") as caught:
            verb(study=str(path), home=tmp_path / "store")
        assert caught.value.cure == "pip install 'embedding-harness[wandb]'"
    assert not (tmp_path / "store" / "artifacts").exists()


def test_a_study_that_trains_nothing_needs_no_tracker(tmp_path: Path) -> None:
    text = STUDY.replace("{steps: 4,", "{steps: 0,").replace("reconstruction.steps: 2", "seed: 1", 1)
    text = text.replace("    on: {seed: 1, reconstruction.global_batch: 8}\n", "")
    path = write_study(tmp_path, text + _TRACKED)
    plan.command(study=str(path), home=tmp_path / "store")
