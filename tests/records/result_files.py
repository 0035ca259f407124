"""Result folders as mteb writes them, made up: one number a task, in any of its three layouts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.records.facts import find_suite, task_facts

V1 = "MTEB(eng, v1)"
REVISION = "8b3219a92973c328a8e22fadcfa821b5dc75636a"


def made_up(task: str) -> float:
    """Return a number between 0.2 and 0.8 that belongs to a task."""
    return round(
        0.2 + sum(ord(letter) * place for place, letter in enumerate(task, 3)) % 6000 / 10000, 4
    )


def cells_of(suite: str = V1) -> dict[str, tuple[str, str]]:
    """Return the one split and subset that a suite asks of each task, parts of aggregates included."""
    cells = {}
    for task in find_suite(suite).tasks:
        for name in (task.name, *task.parts):
            cells[name] = (task.splits[0], task.subsets[0])
    return cells


def metrics_of(task: str, value: float) -> dict[str, Any]:
    """Return the metrics of a task as today's files hold them."""
    facts = task_facts()[task]
    metrics: dict[str, Any] = {facts.metric: value, "main_score": value}
    if facts.task_type == "PairClassification":
        metrics["cosine_ap"] = round(value - 0.01, 4)
    return metrics


def scores_file(task: str, entries: Mapping[str, Iterable[Mapping[str, Any]]]) -> dict[str, Any]:
    """Return the content of a file of mteb since 1.11."""
    return {
        "dataset_revision": "abc",
        "task_name": task,
        "mteb_version": "1.34.7",
        "evaluation_time": 1.5,
        "scores": {split: [dict(one) for one in listed] for split, listed in entries.items()},
    }


def today(task: str, split: str, subset: str, value: float) -> dict[str, Any]:
    """Return the content of today's file of one task with one number."""
    entry = {"hf_subset": subset, "languages": ["eng-Latn"], **metrics_of(task, value)}
    return scores_file(task, {split: [entry]})


def former(task: str, split: str, subset: str, value: float, *, is_bare: bool = False) -> dict[str, Any]:
    """Return the content of a file of mteb before 1.11, or of one that names nobody."""
    task_type = task_facts()[task].task_type
    metrics: dict[str, Any] = {task_facts()[task].metric: value}
    if task_type == "PairClassification":
        metrics = {"cos_sim": {"ap": round(value - 0.01, 4)}, "max": {"ap": value}}
    elif task_type in {"STS", "Summarization"}:
        metrics = {"cos_sim": {"spearman": value, "pearson": 0.5}}
    elif task_type == "Reranking":
        metrics = {"map": value, "mrr": 0.5}
    scores = metrics if subset == "default" else {subset: metrics}
    named = {} if is_bare else {"mteb_version": "0.0.2", "mteb_dataset_name": task}
    return {split: {**scores, "evaluation_time": 2.0}, **named}


def write_file(folder: Path, task: str, content: Any) -> Path:
    """Write one result file and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{task}.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def write_model(results: Path, *, model: str = "org__small", revision: str = REVISION) -> Path:
    """Write the files of a model that is complete on the first English suite; return their folder."""
    folder = results / model / revision
    layouts = (today, former, lambda *place: former(*place, is_bare=True))
    for number, (task, (split, subset)) in enumerate(sorted(cells_of().items())):
        write_file(folder, task, layouts[number % 3](task, split, subset, made_up(task)))
    # The aggregate is the mean of its parts, as mteb writes it.
    parts = task_facts()["CQADupstackRetrieval"].parts
    mean = sum(made_up(part) for part in parts) / len(parts)
    write_file(folder, "CQADupstackRetrieval", today("CQADupstackRetrieval", "test", "default", mean))
    (folder / "model_meta.json").write_text("{}", encoding="utf-8")
    return folder
