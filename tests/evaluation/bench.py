"""A study without training over small tasks, run as often as a test likes."""

from __future__ import annotations

from pathlib import Path

from harness.execution.backends import InProcessBackend
from harness.execution.collect import collect
from harness.execution.runner import RunSummary, run_plan
from harness.execution.store import ArtifactStore
from harness.plan import compile_plan
from harness.records.schema import Record
from harness.study import load_study
from tests.study.builders import STUDY


class Bench:
    """One study, its store and its mirror.

    Args:
        folder: Where the study file and the store are made.
        checkpoint: The base.
        mirror: Stands in for the hub.
        suites: The study's `suites`, as YAML.
        more: What else the study says, as YAML.
        bases: More bases, as YAML.
        prompts: The recipe's `prompts`, as YAML.
    """

    def __init__(
        self,
        folder: Path,
        checkpoint: Path,
        mirror: Path,
        *,
        suites: str,
        more: str = "",
        bases: str = "",
        prompts: str = "",
    ) -> None:
        text = STUDY[: STUDY.index("recipe:")].replace("{path: tiny}", f"{{path: {checkpoint}}}{bases}")
        text += (
            "recipe:\n  model: {base: tiny, max_length: 128}\n"
            "  data: {source: news, pairs: headlines}\n  contrastive: {steps: 0}\n"
            f"  prompts: {{{prompts}}}\n"
            f"suites:\n{suites}{more}"
        )
        (folder / "news").mkdir()
        (folder / "news" / "content").write_text("news")
        path = folder / "study.yaml"
        path.write_text(text, encoding="utf-8")
        self.study = load_study(path)
        self.plan = compile_plan(self.study)
        self.store = ArtifactStore(folder / "store")
        self.mirror = mirror

    def run(self) -> RunSummary:
        """Run what is not done."""
        return run_plan(
            self.plan,
            self.store,
            InProcessBackend,
            mirrors=(self.mirror,),
            progress=lambda *_: None,
        )

    def records(self, summary: RunSummary) -> list[Record]:
        """Return the records of the main metrics."""
        _, records = collect(
            self.study, self.plan, self.store, failures=summary.failed, lacking=summary.lacking
        )
        return [record for record in records if record.is_main]

    def by_task(self, summary: RunSummary) -> dict[str, Record]:
        """Return task -> record, where one model is scored on it once."""
        return {record.task: record for record in self.records(summary)}
