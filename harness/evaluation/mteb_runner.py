"""One model on one mteb task.

Owns `evaluate_mteb`: load the data, run mteb's own evaluation, return scores. The rule: what mteb
computes is left as it is (same code, same seeds, one fresh task object a run), and what would make a
number silently wrong is refused: candidates missing from a reranking set, a subset missing from a
mirror, embeddings that are not numbers, metrics that contradict each other. Results stay on disk as
mteb's own JSON, in its ResultCache layout under the output folder, and the scores of single queries as
Parquet.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import datasets
import mteb
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from mteb.abstasks import AbsTaskRetrieval
from mteb.abstasks.aggregated_task import AbsTaskAggregate

from harness.errors import DataError, HarnessError
from harness.evaluation.catalogue import new_task
from harness.evaluation.encoder import Competitor
from harness.evaluation.identities import check_first_place
from harness.evaluation.isolation import preserved_random_state, without_bars
from harness.evaluation.mirror import find_dataset, use_mirrors
from harness.evaluation.overheads import without_overheads
from harness.evaluation.per_query import Details, check_means, experiments_of, watch
from harness.evaluation.scores import Score
from harness.evaluation.task_scores import Circumstances, scores_of, scores_without_value
from harness.identity.canonical import tree_sha256
from harness.identity.provenance import package_versions
from harness.study.benchmarks import Limits
from harness.study.catalogue import OWN_TASKS

EVALUATOR = f"mteb {metadata.version('mteb')}"
_WHOLE = Limits()


def evaluate_mteb(
    encoder: Competitor,
    task: str,
    *,
    output: Path,
    mirrors: Sequence[Path] = (),
    batch_size: int = 32,
    limits: Limits = _WHOLE,
) -> list[Score]:
    """Evaluate one model on one mteb task.

    Args:
        encoder: A `StudyEncoder`, an encoder of `load_foreign`, or any searcher that mteb takes.
        task: mteb's name of the task.
        output: Where mteb's result files go (`results/<model>/<revision>/<task>.json`), and
            `per_query.parquet` and `top.parquet`.
        mirrors: Folders that hold datasets as `<org>/<name>`; none means the hub.
        batch_size: Texts a batch that mteb offers the encoder.
        limits: The splits and subsets that count.

    Returns:
        One main score per split and subset; for retrieval also nDCG, MAP, MRR and recall at 10 and
        recall at 100. A subset that the mirror lacks is a score in state `missing`.

    Raises:
        DataError: If the task is unknown or its data is not there or not what the task needs.
        ProbeError: If the model's embeddings are not finite, or metrics contradict each other.
    """
    with preserved_random_state(), without_bars(), use_mirrors(mirrors):
        began = time.monotonic()
        job, absent = load_task(task, mirrors, limits)
        details = Details(task)
        watch(job, details)
        encoder.begin()
        cache = mteb.ResultCache(output)
        result = _run(encoder, job, cache, batch_size=batch_size)
        usage = encoder.usage()
        circumstances = Circumstances(
            prompt_hash=usage.prompt_hash,
            prompts=usage.prompts,
            dataset_revision=_dataset_revision(job, mirrors),
            evaluator=EVALUATOR,
            versions=package_versions(),
            wall_seconds=round(time.monotonic() - began, 3),
            tokens=usage.tokens,
            source=_result_file(cache, job, encoder, output),
        )
        reason = f"the mirror has no subset {{subset}} of {job.metadata.dataset['path']}"
        scores = scores_of(job, result, circumstances)
        _keep_details(job, result, details, scores)
        details.write(output)
        return scores + scores_without_value(job, absent, circumstances, state="missing", reason=reason)


def load_task(task: str, mirrors: Sequence[Path], limits: Limits) -> tuple[Any, list[str]]:
    """Return a fresh task with its data, and the subsets that the mirror lacks.

    Raises:
        DataError: If the task is unknown or its data is not there or not what the task needs.
    """
    job = new_task(task, limits)
    absent = _leave_out_absent_subsets(job, mirrors)
    _load(job)
    return job, absent


def _run(encoder: Competitor, task: Any, cache: Any, *, batch_size: int) -> Any:
    with without_overheads(encoder, task) as model:
        results = mteb.evaluate(
            model,
            task,
            cache=cache,
            # Results are reused by the step they belong to, never by the names in a folder.
            overwrite_strategy="always",
            encode_kwargs={"batch_size": batch_size, "show_progress_bar": False},
            co2_tracker=False,
            show_progress_bar=False,
        )
    return results.task_results[0]


def _keep_details(task: Any, result: Any, details: Details, scores: Sequence[Score]) -> None:
    """Add repeated experiments to `details`, and hold all of it against what was reported."""
    for split, entries in result.scores.items():
        for entry in entries:
            check_first_place(entry, task=details.task)
            experiments = experiments_of(task, entry)
            main = task.metadata.main_score
            details.add_scores(split, entry["hf_subset"], main, experiments, unit="experiment")
    reported = {
        (score.split, score.subset, score.metric): score.value
        for score in scores
        if score.value is not None
    }
    check_means(details, reported)


def _leave_out_absent_subsets(task: Any, mirrors: Sequence[Path]) -> list[str]:
    """Narrow a multilingual task to the subsets that its mirror folder has; return the others."""
    if isinstance(task, AbsTaskAggregate) or not task.metadata.is_multilingual:
        return []
    name = task.metadata.dataset["path"]
    if find_dataset(name, mirrors) is None:
        return []
    if task.fast_loading:
        loaded = datasets.load_dataset(name, split=task.eval_splits[0])
        present = set(loaded.unique("lang")) if "lang" in loaded.column_names else set()
    else:
        configs = datasets.get_dataset_config_names(name)
        present = {config.removesuffix("-corpus") for config in configs}
    absent = [subset for subset in task.hf_subsets if subset not in present]
    # Where no name matches, the task has a loader of its own and subsets are none of our business.
    if not absent or len(absent) == len(task.hf_subsets):
        return []
    task.hf_subsets = [subset for subset in task.hf_subsets if subset in present]
    return absent


def _load(task: Any) -> None:
    """Load a task's data, so that a fault of the data is told apart from a fault of the model."""
    if isinstance(task, AbsTaskAggregate):
        return
    name = task.metadata.name
    try:
        task.load_data()
    except HarnessError:
        raise
    except (OfflineModeIsEnabled, HfHubHTTPError, ConnectionError) as error:
        raise DataError(
            f"{name}: dataset {task.metadata.dataset['path']} cannot be fetched: {_first_line(error)}",
            cure="give a mirror that holds it with --mirror FOLDER",
        ) from error
    except Exception as error:
        raise DataError(
            f"{name}: dataset {task.metadata.dataset['path']} does not load:"
            f" {type(error).__name__}: {_first_line(error)}",
            cure="the folder must have the configs, splits and columns of the Hugging Face dataset",
        ) from error
    _check_splits(task)
    if isinstance(task, AbsTaskRetrieval):
        _check_candidates(task)


def _check_splits(task: Any) -> None:
    """Refuse a dataset without a split that counts, where mteb would say no more than its name."""
    if not isinstance(task.dataset, dict):
        return
    for subset in task.hf_subsets:
        parts = task.dataset.get(subset, task.dataset)
        absent = [split for split in task.eval_splits if isinstance(parts, dict) and split not in parts]
        if absent:
            raise DataError(
                f"{task.metadata.name}: dataset {task.metadata.dataset['path']} has no split"
                f" {', '.join(absent)} (subset {subset}; there: {', '.join(map(str, parts))})",
                cure="fetch the dataset whole, or add the split to its folder in the mirror",
            )


def _check_candidates(task: Any) -> None:
    """Refuse a reranking set without candidates: mteb would search the whole corpus and say nothing."""
    statistics = task.metadata.descriptive_stats or {}
    if not any(part.get("top_ranked_statistics") for part in statistics.values()):
        return
    for subset, splits in (task.dataset or {}).items():
        for split, data in splits.items():
            if data.get("top_ranked") is None:
                raise DataError(
                    f"{task.metadata.name}: {subset}/{split} has no candidates to rerank (top_ranked)",
                    cure=f"add the config top_ranked to {task.metadata.dataset['path']} in the mirror",
                )


def _dataset_revision(task: Any, mirrors: Sequence[Path]) -> str:
    """Return mteb's pinned revision, or a hash of the data where it is the project's own."""
    name = task.metadata.name
    folder = find_dataset(task.metadata.dataset["path"], mirrors) if name in OWN_TASKS else None
    return tree_sha256(folder)[:16] if folder else str(task.metadata.revision)


def _result_file(cache: Any, task: Any, encoder: Competitor, output: Path) -> str:
    path = cache.get_task_result_path(task.metadata.name, encoder.mteb_model_meta)
    return Path(path).relative_to(output).as_posix()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
