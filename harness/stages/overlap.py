"""Stage `overlap`: which texts of one task stand in one set of training pairs.

Configuration: `pairs`, the `settings` of `harness.data.overlap_settings`, and what says which task it
is, as in stage `evaluate`. Inputs `data` (what makes the pairs) and `source` (of the task's data);
binding `folder`. Output: `overlap.json`, a list of counts with examples. Signatures of the pairs lie
in the shared cache, where all tasks find them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from pydantic import TypeAdapter

from harness.identity import fingerprint
from harness.stages.context import StepContext
from harness.stages.evaluate import beir_folder, mirrors_of
from harness.study.benchmarks import Limits

VERSION = 1
RESULT_NAME = "overlap.json"


def run(context: StepContext) -> None:
    """Look for the task's texts, and write what was found."""
    from harness.data.overlap import build_index, find_overlap, pair_texts
    from harness.data.overlap_settings import Settings
    from harness.data.pair_sets import PairSet, set_path

    settings = TypeAdapter(Settings).validate_python(context.config["settings"])
    pairs = context.config["pairs"]
    # Thresholds are no part of an index.
    kept = (VERSION, settings.permutations, settings.shingle, settings.min_words)
    name = fingerprint([context.inputs["data"].name, pairs, *kept])[:32]
    texts = pair_texts(PairSet(set_path(context.inputs["data"], pairs)))
    training = build_index(context.cache / "overlap" / name, texts, settings)
    task = build_index(context.scratch / "task", _task_texts(context), settings)
    found = find_overlap(task, training, settings)
    text = json.dumps(found, indent=1, ensure_ascii=True) + "\n"
    (context.output / RESULT_NAME).write_text(text, encoding="utf-8")


def _task_texts(context: StepContext) -> Iterator[tuple[str, str]]:
    from harness.evaluation.task_texts import beir_task_texts, mteb_task_texts

    task, limits = context.config["task"], Limits.of(context.config)
    if context.config["evaluator"] == "beir":
        split, *_ = limits.splits or ("test",)
        return beir_task_texts(task, folder=beir_folder(context), split=split)
    scratch = context.scratch / "listening"
    return mteb_task_texts(task, scratch=scratch, mirrors=mirrors_of(context), limits=limits)
