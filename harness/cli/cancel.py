"""`harness cancel`: ask the runs of a study to end, or to leave out a step."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from harness.cli.locate import study_name
from harness.cli.options import HomeOption
from harness.errors import HarnessError
from harness.execution.homes import open_store
from harness.execution.naming import find_step
from harness.execution.noted import noted_plans, searched
from harness.execution.runs import Ask, Run, Runs
from harness.execution.store import ArtifactStore
from harness.execution.submissions import find_submission, stop_job


def command(
    target: Annotated[
        str,
        typer.Argument(
            metavar="STUDY|STEP", help="A study, the beginning of a step's name, or a submission's id."
        ),
    ],
    home: HomeOption = None,
) -> None:
    """Ask the runs under way to cancel a study with its search, or one step with all that needs it.

    Whoever runs it obeys within a second or two, on whatever machine; `STUDY-search` stands for the
    search alone. What another study's run needs goes on. Cancelled steps keep their checkpoints, and
    `harness run` or `harness search` takes them up again.

    Examples: `harness cancel quickstart`, `harness cancel contrast-3fa9c1`
    """
    store = open_store(home)
    if (submission := find_submission(store.location, target)) is not None:
        asked_ray = stop_job(submission)
        sys.stderr.write(f"{target}: {'asked Ray to end it' if asked_ray else 'it had ended'}\n")
        return
    name = study_name(target)
    living = Runs(store.location).living()
    if asked := [run for run in living if run.study in {name, searched(name)}]:
        _ask(store, asked, None)
    elif any(plan.study == name for plan in noted_plans(store.location)):
        sys.stderr.write(f"no run of {name} is under way\n")
        raise typer.Exit(1)
    else:
        _cancel_step(store, living, target)


def _cancel_step(store: ArtifactStore, living: list[Run], target: str) -> None:
    step = find_step(store, target)
    asked = [run for run in living if step.fingerprint in run.steps]
    studies = sorted({run.study for run in asked})
    if len(studies) > 1:
        raise HarnessError(
            f"{step.name} is needed by runs of {' and '.join(studies)}",
            cure="cancel one of the studies: what the other needs goes on",
        )
    if not asked:
        sys.stderr.write(f"no run under way is to bring {step.name} about\n")
        raise typer.Exit(1)
    _ask(store, asked, frozenset({step.fingerprint}))


def _ask(store: ArtifactStore, runs: list[Run], steps: frozenset[str] | None) -> None:
    for run in runs:
        Runs(store.location).ask(
            run, Ask(verb="cancel", steps=steps, why="cancelled by `harness cancel`")
        )
        sys.stderr.write(f"asked the run of {run.study} on {run.where}\n")
