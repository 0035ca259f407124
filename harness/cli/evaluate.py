"""`harness evaluate`: any model on any mteb tasks, without a study."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import JsonOption, MirrorOption, print_json, words
from harness.errors import HarnessError
from harness.study.benchmarks import Limits, Selection, select_tasks

if TYPE_CHECKING:
    from harness.evaluation.scores import Score

_TasksOption = Annotated[
    list[str] | None,
    typer.Option("--tasks", metavar="A,B", help="mteb's task names; with --benchmark, of it."),
]
_BenchmarkOption = Annotated[
    str | None,
    typer.Option(
        "--benchmark",
        metavar="NAME",
        help="A benchmark of mteb, or ablation-15, smoke, nano, lite, full or MIRACL.",
    ),
]
_TypesOption = Annotated[
    list[str] | None,
    typer.Option("--task-types", metavar="A,B", help="Keep tasks of these types."),
]
_LanguagesOption = Annotated[
    list[str] | None,
    typer.Option("--languages", metavar="A,B", help="Keep subsets in these, as eng or eng-Latn."),
]
_ExcludeOption = Annotated[
    list[str] | None, typer.Option("--exclude", metavar="A,B", help="Leave these tasks out.")
]
_UNFINISHED = {"failed", "missing"}


def command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A SentenceTransformer folder, a name that mteb or the hub knows, or bm25.",
        ),
    ],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Folder for result files and scores.")],
    tasks: _TasksOption = None,
    benchmark: _BenchmarkOption = None,
    task_types: _TypesOption = None,
    languages: _LanguagesOption = None,
    exclude: _ExcludeOption = None,
    mirror: MirrorOption = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Texts a batch.")] = 32,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Threads to use.")] = None,
    json: JsonOption = False,
) -> None:
    """Evaluate a model on mteb tasks; the scores are those of plain mteb.

    DIR gets `scores.jsonl` and mteb's own result files. What it holds of the same model, data and
    versions is not scored again, so after a kill the same command goes on. Exit code 1: a task or a
    subset has no score.

    Examples: `harness evaluate ./my-model --tasks STSBenchmark,SciFact --mirror ./mirror --to out`,
    `harness evaluate bm25 --benchmark "MTEB(eng, v2)" --task-types Retrieval --to out`
    """
    chosen = _chosen(
        Selection(
            benchmark=benchmark,
            tasks=words(tasks),
            task_types=words(task_types),
            languages=words(languages),
            exclude=words(exclude),
        )
    )
    # Read when the numeric libraries load: threads that spin while they wait slow everything down.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with _quiet_libraries(), contextlib.redirect_stdout(sys.stderr):
        from harness.evaluation.foreign import evaluate_model

        scores = evaluate_model(
            model,
            chosen,
            mirrors=mirror or [],
            output=to,
            batch_size=batch_size,
            threads=threads,
            report=_say,
        )
    if json:
        print_json({"model": model, "scores": [dataclasses.asdict(score) for score in scores]})
    else:
        _print_table(scores)
    if any(score.state in _UNFINISHED for score in scores):
        raise typer.Exit(1)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _chosen(selection: Selection) -> dict[str, Limits]:
    if selection.benchmark is None and not selection.tasks:
        raise HarnessError(
            "neither --benchmark nor --tasks names a task",
            cure="for example --tasks STSBenchmark,SciFact, or --benchmark 'MTEB(eng, v2)'",
        )
    return select_tasks(selection)


@contextlib.contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Leave out what libraries say to their own developers; errors still come through."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("mteb", "transformers", "sentence_transformers"):
            logging.getLogger(name).setLevel(logging.ERROR)
        yield


def _print_table(scores: list[Score]) -> None:
    rows = [("task", "split", "subset", "metric", "score")]
    for score in scores:
        if not score.is_main:
            continue
        shown = (
            f"{100 * score.value:.2f}" if score.value is not None else f"{score.state}: {score.reason}"
        )
        rows.append((score.task, score.split, score.subset, score.metric, shown))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        sys.stdout.write("  ".join([*cells, row[4]]) + "\n")
