"""Stage `evaluate`: one model scored on one task.

Configuration: `evaluator`, `evaluator_version`, `task`, the `splits` and `subsets` that count where some
do not, `prompts`, the task's own `instructions` (side -> text, or `mteb`) and `normalize: false` where a
suite asks for them, or `lexical` in place of a model, and for BEIR data the hash of a local folder or
the `dataset` of the hub. Inputs `model` and `source`; bindings `slug` and `folder`.
Output: `scores.jsonl`, `per_query.parquet` and `top.parquet` where a task has queries or repeated
experiments, and mteb's own result files in its ResultCache layout.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from harness.stages.context import StepContext
from harness.study.benchmarks import Limits, beir_tasks
from harness.study.catalogue import BBC_TASKS
from harness.study.recipe import PromptConfig
from harness.study.task_facts import Dataset
from harness.study.task_prompts import MTEB

if TYPE_CHECKING:
    from harness.evaluation.encoder import StudyEncoder
    from harness.evaluation.scores import Score

VERSION = 3
SCORES_NAME = "scores.jsonl"


def run(context: StepContext) -> None:
    """Score the model, or lexical search, and write what was measured."""
    from harness.evaluation.scores import write_scores

    write_scores(context.output / SCORES_NAME, _evaluate(context))


def _evaluate(context: StepContext) -> list[Score]:
    config = context.config
    task, output = config["task"], context.output
    is_lexical = "lexical" in config
    if config["evaluator"] == "beir":
        from harness.evaluation.beir_runner import evaluate_beir
        from harness.evaluation.bm25 import evaluate_bm25_beir

        folder = beir_folder(context)
        split, *_ = Limits.of(config).splits or ("test",)
        if is_lexical:
            return evaluate_bm25_beir(task, folder=folder, output=output, split=split)
        return evaluate_beir(load_encoder(context), task, folder=folder, output=output, split=split)
    from harness.evaluation.bm25 import evaluate_bm25_mteb
    from harness.evaluation.mteb_runner import evaluate_mteb

    mirrors = mirrors_of(context)
    limits = Limits.of(config)
    if is_lexical:
        return evaluate_bm25_mteb(task, output=output, mirrors=mirrors, limits=limits)
    return evaluate_mteb(load_encoder(context), task, output=output, mirrors=mirrors, limits=limits)


def mirrors_of(context: StepContext) -> tuple[Path, ...]:
    """Return the folders that stand in for the hub."""
    # A source is no mirror of the hub: a stock task beside its tasks still comes from the hub.
    is_own = context.config["task"] in BBC_TASKS
    return (*context.mirrors, *([context.inputs["source"] / "mirror"] if is_own else []))


def beir_folder(context: StepContext) -> Path:
    """Return the folder of a BEIR dataset, brought from the hub where it is there."""
    if "folder" in context.bindings:
        return Path(context.bindings["folder"])
    if "dataset" in context.config:
        from harness.evaluation.beir_data import hub_folder

        return hub_folder(Dataset(**context.config["dataset"]), mirrors=context.mirrors)
    return context.inputs["source"] / "beir"


def load_encoder(context: StepContext) -> StudyEncoder:
    """Return the step's model with its prompts and the cache that all evaluations share."""
    from harness.evaluation.embeddings import EmbeddingCache
    from harness.evaluation.encoder import StudyEncoder
    from harness.models.embedder import Embedder

    return StudyEncoder(
        Embedder.load(context.inputs["model"], device=context.device, threads=context.resources.cpus),
        prompts=TypeAdapter(PromptConfig).validate_python(context.config["prompts"]),
        name=context.bindings["slug"],
        revision=context.inputs["model"].name,
        cache=EmbeddingCache(context.cache / "embeddings"),
        instructions=_instructions(context),
        normalize=context.config.get("normalize", True),
    )


def _instructions(context: StepContext) -> dict[str, str]:
    found = context.config.get("instructions", {})
    if found != MTEB:
        return dict(found)
    from harness.evaluation.catalogue import mteb_instructions

    config = context.config
    is_beir = config["evaluator"] == "beir"
    return mteb_instructions(beir_tasks()[config["task"]] if is_beir else config["task"])
