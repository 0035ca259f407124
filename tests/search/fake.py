"""Stages that need no model: what a training is told, its evaluation scores by a smooth formula."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from harness.errors import DataError
from harness.evaluation.scores import Score, write_scores
from harness.execution.backends import Backend, InProcessBackend
from harness.execution.session import Session
from harness.execution.store import ArtifactStore
from harness.search.cells import Cells
from harness.search.driver import Driver
from harness.search.ledger import Ledger
from harness.search.opening import open_ledger
from harness.stages import STAGES, StepContext
from harness.stages.evaluate import SCORES_NAME
from harness.study import Study, load_study
from tests.study.builders import write_study

STUDY = """\
name: small
question: Which temperature?
bases:
  tiny: {path: tiny}
sources:
  news: {kind: bbc, path: news}
recipe:
  model: {base: tiny}
  data: {source: news, pairs: headlines}
  contrastive: {steps: 12, global_batch: 8, learning_rate: 1e-3}
suites:
  dev: {source: news, role: development, tasks: [BBCTopicClassification, BBCTopicClustering]}
  final: {source: news, tasks: [BBCHeadlineRetrieval]}
search:
  space:
    contrastive.temperature: {kind: float, low: 0.005, high: 0.1, log: true}
    contrastive.tuning.rank: {kind: categorical, choices: [4, 8, 16]}
  objectives: [{maximize: dev}]
  trials: 20
"""


@dataclass
class FakeStages:
    """Stand in for the real stages: count, fail where told to, and score without a model."""

    runs: Counter[str] = field(default_factory=Counter)
    failing_ranks: dict[int, str] = field(default_factory=dict)
    """Rank -> why a training with it fails."""

    def patch(self, patch: Any) -> None:
        """Put them in the place of the real ones."""
        for name in ("base", "source", "reconstruct", "contrast", "evaluate"):
            stage = _Stage(name, STAGES[name].version, self)
            patch.setitem(cast("dict[str, Any]", STAGES), name, stage)

    def run(self, name: str, context: StepContext) -> None:
        self.runs[name] += 1
        if name == "evaluate":
            told = json.loads((context.inputs["model"] / "told.json").read_text())
            write_scores(context.output / SCORES_NAME, [score_of(context.config["task"], told)])
            return
        if name == "contrast":
            rank = context.config["contrastive"]["tuning"]["rank"]
            if rank in self.failing_ranks:
                raise DataError(self.failing_ranks[rank])
            header = json.dumps({"lora": {"dtype": "F32", "shape": [rank, 10], "data_offsets": [0, 0]}})
            (context.output / "adapter").mkdir()
            (context.output / "adapter" / "adapter_model.safetensors").write_bytes(
                len(header).to_bytes(8, "little") + header.encode()
            )
        (context.output / "told.json").write_text(json.dumps(dict(context.config)))


@dataclass
class _Stage:
    name: str
    version: int
    stages: FakeStages

    def run(self, context: StepContext) -> None:
        self.stages.run(self.name, context)


def score_of(task: str, told: dict[str, Any]) -> Score:
    """Return a score with one best temperature, a small effect of the rank, and some of the seed."""
    settings = told.get("contrastive", {"temperature": 1.0, "tuning": {"rank": 1}, "steps": 0})
    distance = math.log(settings["temperature"] / 0.02)
    share = told.get("until", settings["steps"]) / max(settings["steps"], 1)
    value = 0.8 * math.exp(-0.3 * distance**2) + 0.01 * math.log2(settings["tuning"]["rank"])
    value += 0.001 * (told.get("seed", 0) % 7) - (0.05 if task == "BBCTopicClustering" else 0.0)
    return Score(
        task=task,
        task_type="Classification",
        split="test",
        subset="default",
        metric="accuracy",
        value=value * (0.5 + 0.5 * share),
    )


def make_study(folder: Path, text: str = STUDY) -> Study:
    folder.mkdir(parents=True, exist_ok=True)
    return load_study(write_study(folder, text))


def edited(old: str, new: str, *, text: str = STUDY) -> str:
    assert old in text
    return text.replace(old, new, 1)


@dataclass
class Done:
    """A search that was run."""

    cells: Cells
    ledger: Ledger
    said: list[str]
    asks: bytes
    """The log of what was asked for."""

    @property
    def states(self) -> Counter[str]:
        return Counter(trial.state.name for trial in self.ledger.trials())


def search(
    study: Study,
    home: Path,
    *,
    workers: int = 4,
    storage: str | None = None,
    backend: Callable[[], Backend] = InProcessBackend,
) -> Done:
    """Run a search to its target in this process."""
    store = ArtifactStore(home)
    cells = Cells(study, store)
    said: list[str] = []
    with (
        open_ledger(cells, storage=storage, tell=said.append) as ledger,
        Session(store, backend) as session,
    ):
        Driver(cells, ledger, session, workers=workers, tell=said.append).run()
    asks = (ledger.folder / "asks.jsonl").read_bytes()
    return Done(cells=cells, ledger=ledger, said=said, asks=asks)
