"""The data of an mteb task, whole or not at all.

Owns `load_task`. The rule: mteb's own code loads, and what it would then overlook is refused: a subset,
a split, the judgements of a split or the candidates of a reranking set that are not there. No score is
taken of a part of a task; data that only lacks is told apart from data that is wrong, since it can be
brought. Where datasets are read from is left to `mirror`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import datasets
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from mteb.abstasks import AbsTaskRetrieval

from harness.data.mirrors import entry_of, find_repository
from harness.errors import AbsentDataError, DataError, HarnessError
from harness.evaluation.catalogue import new_task, parts_of
from harness.study.benchmarks import Limits

_SPLITS = frozenset({"train", "dev", "validation", "test"})
"""Names of splits that stand for different judgements; another name may stand for all there is."""


def load_task(task: str, mirrors: Sequence[Path], limits: Limits) -> Any:
    """Return a fresh task with its data; the parts of an aggregate are loaded again when scored.

    Args:
        task: mteb's name of the task.
        mirrors: Folders that hold datasets as `<org>/<name>`, in use; none means the hub.
        limits: The splits and subsets that count.

    Raises:
        AbsentDataError: If the dataset, or a split or subset that counts, is not there.
        DataError: If the task is unknown or its data is not what the task needs.
    """
    job = new_task(task, limits)
    for part in parts_of(job):
        _load(part, mirrors)
        if part is not job:
            # Looked at, so that what lacks is known before the first part is encoded.
            part.unload_data()
    return job


def _load(task: Any, mirrors: Sequence[Path]) -> None:
    """Load a task's data, so that a fault of the data is told apart from a fault of the model."""
    where = f"{task.metadata.name}: dataset {task.metadata.dataset['path']}"
    try:
        task.load_data()
    except HarnessError:
        raise
    except (OfflineModeIsEnabled, HfHubHTTPError, ConnectionError) as error:
        raise DataError(
            f"{where} cannot be fetched: {_first_line(error)}",
            cure="give a mirror that holds it with --mirror FOLDER",
        ) from error
    except Exception as error:
        # Only now: a task may know ways of its own to its subsets and splits.
        _check_configurations(task, mirrors)
        kind = AbsentDataError if isinstance(error, FileNotFoundError) else DataError
        raise kind(
            f"{where} does not load: {type(error).__name__}: {_first_line(error)}",
            cure="the folder must have the configs, splits and columns of the Hugging Face dataset",
        ) from error
    _check_parts(task)
    if isinstance(task, AbsTaskRetrieval):
        _check_judgements(task, mirrors)
        _check_candidates(task)


def _check_configurations(task: Any, mirrors: Sequence[Path]) -> None:
    """Say which subsets or splits a task's folder in a mirror has no configuration for."""
    name = task.metadata.dataset["path"]
    if find_repository(name, mirrors) is None:
        return
    try:
        configs = set(datasets.get_dataset_config_names(name))
        if task.metadata.is_multilingual and not getattr(task, "fast_loading", False):
            _check_subsets(task, {config.removesuffix("-qrels") for config in configs})
        for subset in task.hf_subsets:
            config = _judgements(subset, configs) if isinstance(task, AbsTaskRetrieval) else subset
            if config in configs:
                _check_splits(task, subset, datasets.get_dataset_split_names(name, config))
    except (ValueError, OSError):
        # The data is wrong in a way that the first error tells better.
        return


def _check_subsets(task: Any, present: Collection[str]) -> None:
    """Refuse a dataset that has some of the subsets that count, naming the others."""
    wanted = list(task.hf_subsets)
    absent = [subset for subset in wanted if subset not in present]
    # Where no name matches, the data is laid out in a way of its own.
    if absent and len(absent) < len(wanted):
        raise AbsentDataError(
            f"{task.metadata.name}: dataset {task.metadata.dataset['path']} lacks {len(absent)} of"
            f" {len(wanted)} subsets: {', '.join(absent)}",
            cure="fetch the dataset whole, or leave those out with `languages`",
        )


def _check_splits(task: Any, subset: str, present: Collection[str]) -> None:
    absent = [split for split in task.eval_splits if split not in present]
    if absent:
        raise AbsentDataError(
            f"{task.metadata.name}: dataset {task.metadata.dataset['path']} has no split"
            f" {', '.join(absent)} (subset {subset}; there: {', '.join(map(str, present))})",
            cure="fetch the dataset whole, or add the split to its folder in the mirror",
        )


def _check_parts(task: Any) -> None:
    """Refuse loaded data without a subset or split: mteb would leave it out, or tell no more than it."""
    if not isinstance(task.dataset, dict):
        return
    if task.metadata.is_multilingual:
        _check_subsets(task, task.dataset)
    for subset in task.hf_subsets:
        parts = task.dataset.get(subset, task.dataset)
        if isinstance(parts, dict):
            _check_splits(task, subset, parts)


def _check_judgements(task: Any, mirrors: Sequence[Path]) -> None:
    """Refuse judgements of another split: mteb takes a configuration's only split for any it wants.

    A repository that was brought whole at a revision is what mteb means by it; others are made by hand.
    """
    name = task.metadata.dataset["path"]
    found = find_repository(name, mirrors)
    if found is None or ((entry := entry_of(found[0], name)) is not None and entry.revision):
        return
    configs = set(datasets.get_dataset_config_names(name))
    for subset in task.hf_subsets:
        config = _judgements(subset, configs)
        if config in configs:
            present = datasets.get_dataset_split_names(name, config)
            if _SPLITS.issuperset(present):
                _check_splits(task, subset, present)


def _judgements(subset: str, configs: Collection[str]) -> str:
    """Return the configuration in which mteb looks for a subset's judgements."""
    if subset != "default":
        return f"{subset}-qrels"
    return "default" if "default" in configs else "qrels"


def _check_candidates(task: Any) -> None:
    """Refuse a reranking set without candidates: mteb would search the whole corpus and say nothing."""
    statistics = task.metadata.descriptive_stats or {}
    if not any(part.get("top_ranked_statistics") for part in statistics.values()):
        return
    for subset, splits in (task.dataset or {}).items():
        for split, data in splits.items():
            if data.get("top_ranked") is None:
                raise AbsentDataError(
                    f"{task.metadata.name}: {subset}/{split} has no candidates to rerank (top_ranked)",
                    cure=f"add the config top_ranked to {task.metadata.dataset['path']} in the mirror",
                )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
