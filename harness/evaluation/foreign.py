"""Any model on any tasks, without a study.

Owns `evaluate_model`, what `harness evaluate` does. The rule: one task that fails takes no other with
it; it becomes a score without a value that says why, and all the others are kept.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mteb.models import ModelMeta

from harness.data.mirrors import find_repository
from harness.errors import AbsentDataError, DataError, HarnessError
from harness.evaluation.bm25 import BM25, Bm25Searcher, evaluate_bm25_mteb
from harness.evaluation.catalogue import new_task
from harness.evaluation.earlier import Conditions, Earlier, conditions_of
from harness.evaluation.encoder import Competitor
from harness.evaluation.isolation import limited_threads, preserved_random_state, without_bars
from harness.evaluation.mirror import use_mirrors
from harness.evaluation.models import load_foreign
from harness.evaluation.mteb_runner import EVALUATOR, evaluate_mteb
from harness.evaluation.registered import is_registered, registered_model
from harness.evaluation.scores import Score
from harness.evaluation.task_scores import Circumstances, scores_without_value
from harness.identity.provenance import package_versions
from harness.records.schema import State
from harness.study.benchmarks import Limits
from harness.study.catalogue import task_types

_Evaluate = Callable[[str, Limits], list[Score]]

_log = logging.getLogger(__name__)


def evaluate_model(
    model: str,
    tasks: Mapping[str, Limits] | Sequence[str],
    *,
    mirrors: Sequence[Path] = (),
    output: Path,
    batch_size: int = 32,
    threads: int | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> list[Score]:
    """Evaluate a model on mteb tasks.

    Args:
        model: A SentenceTransformer folder, a name in mteb's registry or on the Hugging Face hub, or
            `bm25`. A folder in a mirror comes before mteb's own loader, which fetches.
        tasks: mteb's names of the tasks; a mapping also says which splits and subsets count.
        mirrors: Folders that hold datasets as `<org>/<name>`; none means the hub.
        output: Where mteb's result files and `scores.jsonl` go; the latter is written after each task,
            and what stands there of the same model under the same conditions is not scored again.
        batch_size: Texts a batch, as in `mteb.evaluate`.
        threads: Threads of torch, BLAS and OpenMP; None leaves them alone.
        report: Told a line when a task begins and ends.

    Returns:
        The scores of all tasks in the order of `tasks`; a task that failed, or that lacks some of its
        data, has scores in state `failed` or `missing` with the reason.

    Raises:
        HarnessError: If the model or a task is unknown, a mirror is not there, or `output` holds the
            scores of another model: nothing has run then.
            A task of mteb that the installed one lacks fails alone.
    """
    limits = dict(tasks) if isinstance(tasks, Mapping) else dict.fromkeys(tasks, Limits())
    with preserved_random_state(), without_bars(), limited_threads(threads):
        # What is wrong for all tasks is said before any has run.
        with use_mirrors(mirrors):
            for task in tasks:
                if task not in task_types():
                    new_task(task, limits[task])
        meta, evaluate = _evaluator(model, mirrors=mirrors, output=output, batch_size=batch_size)
        earlier = Earlier.open(output, model=str(meta.name), revision=str(meta.revision))
        scores: list[Score] = []
        for task in tasks:
            conditions = _conditions(task, limits[task], mirrors)
            found = earlier.find(task, conditions)
            if found:
                report(f"{task}: {_summary(found)}, scored before")
            else:
                report(f"{task} ...")
                found = _attempt(task, limits[task], evaluate)
                earlier.keep(task, conditions, found)
                report(f"{task}: {_summary(found)}")
            scores += found
    return scores


def _evaluator(
    model: str, *, mirrors: Sequence[Path], output: Path, batch_size: int
) -> tuple[ModelMeta, _Evaluate]:
    """Return who the model is, and what scores it on a task."""
    if model == BM25:
        return Bm25Searcher().mteb_model_meta, lambda task, limits: evaluate_bm25_mteb(
            task, output=output, mirrors=mirrors, limits=limits
        )
    is_here = Path(model).expanduser().exists() or find_repository(model, mirrors) is not None
    encoder: Competitor
    if not is_here and is_registered(model):
        encoder = registered_model(model)
    else:
        encoder = load_foreign(model, batch_size=batch_size, mirrors=mirrors)
    return encoder.mteb_model_meta, lambda task, limits: evaluate_mteb(
        encoder, task, output=output, mirrors=mirrors, batch_size=batch_size, limits=limits
    )


def _conditions(task: str, limits: Limits, mirrors: Sequence[Path]) -> Conditions:
    try:
        return conditions_of(task, limits, mirrors=mirrors, evaluator=EVALUATOR)
    except DataError:
        # Its attempt tells why there is no such task.
        return {}


def _attempt(task: str, limits: Limits, evaluate: _Evaluate) -> list[Score]:
    state: State = "failed"
    try:
        return evaluate(task, limits)
    except HarnessError as error:
        reason = f"{error.message}; {error.cure}" if error.cure else error.message
        state = "missing" if isinstance(error, AbsentDataError) else "failed"
    except Exception as error:  # a fault inside mteb or the model must not lose the other tasks
        _log.exception("%s failed", task)
        reason = f"{type(error).__name__}: {error}"
    circumstances = Circumstances(evaluator=EVALUATOR, versions=package_versions())
    try:
        job = new_task(task, limits)
    except DataError:
        nothing = {"split": "", "subset": "", "metric": "", "state": state, "reason": reason}
        return [circumstances.score(task=task, task_type=task_types()[task], **nothing)]
    circumstances = replace(circumstances, dataset_revision=str(job.metadata.revision))
    # Braces in a reason are no places to fill in.
    reason = reason.replace("{", "{{").replace("}", "}}")
    return scores_without_value(job, job.hf_subsets, circumstances, state=state, reason=reason)


def _summary(scores: Sequence[Score]) -> str:
    mains = [score for score in scores if score.is_main]
    values = [score.value for score in mains if score.value is not None]
    if not values:
        return f"{mains[0].state}: {mains[0].reason}" if mains else "no score"
    mean = sum(values) / len(values)
    short = f"{mains[0].metric} {100 * mean:.2f}"
    return short if len(values) == 1 else f"{short} (mean of {len(values)} of {len(mains)} subsets)"
