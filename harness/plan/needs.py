"""What the steps of a plan read from the hub.

Owns the list of datasets and base checkpoints, each once, with who wants it. The rule: it follows from
the plan and from mteb's pinned revisions alone. Bringing them is left to `harness.data.prefetch`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.data.mirrors import Needed, RepositoryKind
from harness.plan.graph import Step
from harness.study.task_facts import task_datasets


def hub_needs(steps: Iterable[Step]) -> tuple[Needed, ...]:
    """Return what steps read from the hub: models first, then datasets, each by name."""
    wanted: dict[tuple[RepositoryKind, str, str], dict[str, None]] = {}
    for step in steps:
        for kind, name, revision, by in _reads(step):
            wanted.setdefault((kind, name, revision), {})[by] = None
    return tuple(
        Needed(kind=kind, name=name, revision=revision, wanted_by=tuple(by))
        for (kind, name, revision), by in sorted(
            wanted.items(), key=lambda item: (item[0][0] != "model", item[0])
        )
    )


def _reads(step: Step) -> Iterator[tuple[RepositoryKind, str, str, str]]:
    if step.stage == "base" and "hub" in step.config["checkpoint"]:
        checkpoint = step.config["checkpoint"]
        yield "model", checkpoint["hub"], checkpoint["revision"], step.label
    if step.stage == "source" and step.config["kind"] == "catalogue":
        entry = step.config["set"]
        yield "dataset", entry["hub"], entry["revision"], step.label
    if step.stage not in {"evaluate", "overlap"}:
        return
    task = step.config["task"]
    if "dataset" in step.config:
        yield "dataset", step.config["dataset"]["name"], step.config["dataset"]["revision"], task
    if step.config["evaluator"] == "mteb":
        for dataset in task_datasets(task):
            yield "dataset", dataset.name, dataset.revision, task
