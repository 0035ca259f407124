"""`harness plan`: what would run, what is reused and why, what it costs and what may be compared."""

from __future__ import annotations

import gc
from typing import Annotated

import typer

from harness.cli.options import HomeOption, JsonOption, MirrorOption, ProfileOption, StudyArgument


def command(
    study: StudyArgument,
    profile: ProfileOption = None,
    actual: Annotated[
        bool,
        typer.Option(
            "--actual", help="Hold what was expected of finished steps against what they took."
        ),
    ] = False,
    why: Annotated[
        str | None,
        typer.Option(
            metavar="STEP", help="Show which fields made a step new, down to the inputs that caused it."
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="REV[:PATH]|PLAN.json|STUDY.yaml",
            help="Compare with the study at a git revision, a plan saved by --json, or another study.",
        ),
    ] = None,
    home: HomeOption = None,
    mirror: MirrorOption = None,
    json: JsonOption = False,
) -> None:
    """Show the steps of a study with their state (run, reuse, wait) and the reason, and what they cost.

    Nothing is run and nothing is written. What a mirror lacks is told here, a tracker whose library is
    not installed, and rows that differ in more than the factor along which they are compared.

    Examples: `harness plan quickstart`, `harness plan quickstart --against HEAD~1`,
    `harness plan quickstart --why contrast-1f2e3d4c`, `harness plan quickstart --actual`
    """
    # Large plans are many small objects that live to the end: collecting them again and again is idle.
    gc.disable()
    try:
        from harness.cli.planning import Question, answer

        question = Question(
            study=study,
            profile=profile,
            is_actual=actual,
            why=why,
            against=against,
            home=home,
            mirror=mirror,
        )
        answer(question, as_json=json)
    finally:
        gc.enable()
