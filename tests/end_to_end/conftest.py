"""A small but whole study: a tiny model, made-up news, both stages, MTEB and BEIR, two references."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.command import run_harness

STUDY = """\
name: tiny-study
question: Does a tiny reconstruction stage help a tiny model?
bases:
  tiny: {{path: {checkpoint}}}
sources:
  news: {{kind: bbc, path: {news}, num_test: 30, num_classification_train: 20}}
recipe:
  model: {{base: tiny, max_length: 32}}
  data: {{source: news, pairs: headlines}}
  reconstruction:
    global_batch: 4
    learning_rate: 1e-3
    warmup_steps: 1
    query_length: 16
    document_length: 24
  contrastive:
    steps: 12
    global_batch: 8
    temperature: 0.05
    learning_rate: 1e-2
    warmup_steps: 1
    query_length: 16
    document_length: 24
    tuning: {{method: lora, rank: 4, alpha: 8, dropout: 0.1}}
factors:
  reconstruction:
    off: {{}}
    on: {{reconstruction.steps: 6, reconstruction.seed: 0}}
seeds: [1, 2]
references: [untrained, bm25]
suites:
  news:
    source: news
    tasks: [BBCHeadlineRetrieval, BBCTopicClassification, BBCTopicClustering]
  news-beir: {{evaluator: beir, source: news, tasks: [bbc-headlines]}}
"""

# Driver processes of these tests run on one core each: the suite itself runs on all of them.
NUM_STEPS = 2 + 1 + 4 + 6 * 4


@dataclass(frozen=True)
class Desk:
    """A folder with a study, a store and reports."""

    folder: Path

    @property
    def study(self) -> Path:
        return self.folder / "tiny-study.yaml"

    @property
    def home(self) -> Path:
        return self.folder / "store"

    @property
    def report(self) -> Path:
        return self.folder / "reports" / "tiny-study"

    def command(self, verb: str, *options: str) -> list[str]:
        """Return the arguments of `harness VERB STUDY` with this store."""
        paths = ["--home", str(self.home)]
        if verb == "run":
            paths += ["--reports", str(self.folder / "reports"), "--backend", "in-process"]
        return [verb, str(self.study), *paths, *options]

    def harness(self, verb: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Run `harness VERB STUDY` in a process of its own."""
        return run_harness(*self.command(verb, *options))

    def run_json(self, *options: str) -> dict[str, Any]:
        """Run the study and return what it prints as JSON."""
        done = self.harness("run", "--json", *options)
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    def tables(self) -> dict[str, bytes]:
        """Return the report's files by name."""
        return {path.name: path.read_bytes() for path in sorted(self.report.iterdir())}


def make_desk(folder: Path, checkpoint: Path, news: Path) -> Desk:
    folder.mkdir(parents=True, exist_ok=True)
    desk = Desk(folder)
    desk.study.write_text(STUDY.format(checkpoint=checkpoint, news=news), encoding="utf-8")
    return desk


@pytest.fixture
def desk(tmp_path: Path, tiny_checkpoint: Path, tiny_news: Path) -> Desk:
    """A fresh folder with the study in it."""
    return make_desk(tmp_path, tiny_checkpoint, tiny_news)


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path, tiny_news: Path
) -> tuple[Desk, dict[str, Any]]:
    """The study, run once without disturbance, and what `run --json` said. Not to be changed."""
    desk = make_desk(tmp_path_factory.mktemp("finished"), tiny_checkpoint, tiny_news)
    return desk, desk.run_json()
