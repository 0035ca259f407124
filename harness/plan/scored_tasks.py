"""The tasks of a study's suites, as models are scored on them.

Owns the configuration of an evaluation. The rule: whatever decides a score is in it (texts, limits,
instructions, the evaluator's version), and the model is not: models share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.identity.canonical import to_plain
from harness.identity.provenance import installed_version
from harness.plan.corpus_shards import shard_configurations
from harness.plan.graph import Configuration, Step
from harness.plan.parts import Parts
from harness.study import Study
from harness.study.benchmarks import Limits, beir_datasets, beir_tasks
from harness.study.catalogue import task_types
from harness.study.document import Suite
from harness.study.recipe import PromptConfig
from harness.study.task_prompts import MTEB, read_prompts


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredTask:
    """One task of a suite: what its evaluations have in common whatever the model."""

    suite: str
    task: str
    config: Configuration
    sources: Mapping[str, Step]
    bindings: Mapping[str, str]
    parts: Sequence[Configuration]
    """Of the steps that encode its corpus first, where that is large."""


class ScoredTasks:
    """The tasks of all suites of a study.

    Args:
        study: With its suites.
        parts: Texts of prompts, shared with the rest of the plan.
        source: Makes the step of a source that tasks are made from.
        sha256: Hashes a file or folder.
    """

    def __init__(
        self,
        study: Study,
        parts: Parts,
        *,
        source: Callable[[str], Step],
        sha256: Callable[[Path], str],
    ) -> None:
        self._study, self._parts = study, parts
        self._source, self._sha256 = source, sha256
        self._versions: dict[str, str] = {}

    def of(self, prompts: PromptConfig | None) -> Iterator[ScoredTask]:
        """Yield the tasks as variants with these prompts, or lexical search, are scored on them."""
        whose = {"prompts": self._parts.of_prompts(prompts)[0]} if prompts else {"lexical": "bm25"}
        for name, suite in self._study.suites.items():
            if suite.evaluator not in self._versions:
                self._versions[suite.evaluator] = installed_version(suite.evaluator)
            for task in suite.tasks:
                config = {
                    **whose,
                    "evaluator": suite.evaluator,
                    # Another version may hold other data or compute another number under one name.
                    "evaluator_version": self._versions[suite.evaluator],
                    "task": task,
                    # Named only where something is left out, so that suites share whole tasks.
                    **self._study.limits.get((name, task), Limits()).plain(),
                    **(self._encoding(suite, task, prompts) if prompts else {}),
                }
                bindings = {}
                if suite.folder is not None:
                    folder = self._study.resolve_path(suite.folder) / task
                    config["data_sha256"] = self._sha256(folder)
                    bindings["folder"] = str(folder.parent)
                elif suite.evaluator == "beir" and not suite.source:
                    config["dataset"] = to_plain(beir_datasets()[task])
                yield ScoredTask(
                    suite=name,
                    task=task,
                    config=Configuration.of(config),
                    sources={"source": self._source(suite.source)} if suite.source else {},
                    bindings=bindings,
                    parts=self._shards(config, bindings.get("folder", "")),
                )

    def _shards(self, config: Mapping[str, Any], folder: str) -> list[Configuration]:
        documents = self._study.resources.shard_documents
        parts = shard_configurations(config, documents, folder=folder)
        return [Configuration.of(part) for part in parts]

    def _encoding(self, suite: Suite, task: str, prompts: PromptConfig) -> dict[str, Any]:
        """Return how one task's texts are encoded, where it is not the usual way."""
        # The same data has the same instruction, whichever package scores it.
        name = beir_tasks().get(task, task) if suite.evaluator == "beir" else task
        task_type = task_types().get(name, "Retrieval")
        found: dict[str, Any] = {"normalize": False} if task_type in suite.unnormalized else {}
        if prompts.tasks == MTEB and name in task_types():
            return {**found, "instructions": MTEB}
        texts = read_prompts(prompts.tasks, folder=self._study.path.parent)
        instructions = texts.of_task(name, task_type) if texts else {}
        return {**found, "instructions": instructions} if instructions else found
