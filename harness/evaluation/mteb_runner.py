"""One model on one mteb task.

Owns `evaluate_mteb`: run mteb's own evaluation, return scores. The rule: what mteb computes is left as
it is (same code, same seeds, one fresh task object a run), and what would make a number silently wrong
is refused: embeddings that are not numbers, metrics that contradict each other. Results stay on disk as
mteb's own JSON, in its ResultCache layout under the output folder, and the scores of single queries as
Parquet. Loading a task's data, and seeing that all of it is there, is left to `task_data`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import mteb

from harness.evaluation.encoder import Competitor
from harness.evaluation.identities import check_first_place
from harness.evaluation.isolation import preserved_random_state, without_bars
from harness.evaluation.mirror import find_dataset, use_mirrors
from harness.evaluation.overheads import without_overheads
from harness.evaluation.per_query import Details, check_means, experiments_of, watch
from harness.evaluation.scores import Score
from harness.evaluation.task_data import load_task
from harness.evaluation.task_scores import Circumstances, scores_of
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
        recall at 100.

    Raises:
        AbsentDataError: If the dataset, or a split or subset that counts, is not there; nothing is
            encoded then, since no mean goes over a part of a task.
        DataError: If the task is unknown or its data is not what the task needs.
        ProbeError: If the model's embeddings are not finite, or metrics contradict each other.
    """
    with preserved_random_state(), without_bars(), use_mirrors(mirrors):
        began = time.monotonic()
        job = load_task(task, mirrors, limits)
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
        scores = scores_of(job, result, circumstances)
        _keep_details(job, result, details, scores)
        details.write(output)
        return scores


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


def _dataset_revision(task: Any, mirrors: Sequence[Path]) -> str:
    """Return mteb's pinned revision, or a hash of the data where it is the project's own."""
    name = task.metadata.name
    folder = find_dataset(task.metadata.dataset["path"], mirrors) if name in OWN_TASKS else None
    return tree_sha256(folder)[:16] if folder else str(task.metadata.revision)


def _result_file(cache: Any, task: Any, encoder: Competitor, output: Path) -> str:
    path = cache.get_task_result_path(task.metadata.name, encoder.mteb_model_meta)
    return Path(path).relative_to(output).as_posix()
