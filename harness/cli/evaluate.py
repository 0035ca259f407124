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

from harness.cli.options import JsonOption, print_json
from harness.errors import HarnessError, did_you_mean
from harness.study.catalogue import task_types

if TYPE_CHECKING:
    from harness.evaluation.scores import Score

_UNFINISHED = {"failed", "missing"}


def command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A SentenceTransformer folder, a name on the hub, or bm25."
        ),
    ],
    tasks: Annotated[str, typer.Option("--tasks", metavar="A,B", help="mteb's task names.")],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Folder for result files and scores.")],
    mirror: Annotated[
        list[Path] | None,
        typer.Option(
            "--mirror",
            metavar="DIR",
            envvar="HARNESS_MIRROR",
            help="Read datasets from DIR/<org>/<name> and never from the network. May be repeated.",
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Texts a batch.")] = 32,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Threads to use.")] = None,
    json: JsonOption = False,
) -> None:
    """Evaluate a model on mteb tasks; the scores are those of plain mteb.

    DIR gets `scores.jsonl` and mteb's own result files. Exit code 1: a task or a subset has no score.

    Example: `harness evaluate ./my-model --tasks STSBenchmark,SciFact --mirror ./mirror --to out`
    """
    names = _task_names(tasks)
    # Read when the numeric libraries load: threads that spin while they wait slow everything down.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with _quiet_libraries(), contextlib.redirect_stdout(sys.stderr):
        from harness.evaluation.foreign import evaluate_model

        scores = evaluate_model(
            model,
            names,
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


def _task_names(text: str) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise HarnessError("--tasks names no task", cure="for example --tasks STSBenchmark,SciFact")
    known = task_types()
    for name in names:
        if name not in known:
            raise HarnessError(
                f"unknown task {name!r}.{did_you_mean(name, known)}",
                cure="a task is named as in mteb, such as SciFact or STSBenchmark",
            )
    return names


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
