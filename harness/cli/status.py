"""`harness status`: how far a study has come."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from harness.cli import status_text
from harness.cli.locate import STUDIES, study_name
from harness.cli.options import HomeOption, JsonOption, ProfileOption, print_json
from harness.execution.homes import open_store
from harness.execution.noted import NotedPlan, digest, noted, noted_plans, read_noted
from harness.execution.overview import Overview, as_json, look_over
from harness.execution.store import ArtifactStore
from harness.execution.submissions import find_submission, job_state


def command(
    study: Annotated[
        str | None,
        typer.Argument(
            metavar="[STUDY]",
            help="A YAML file, the name of a study, or a submission's id. Default: all that ran.",
        ),
    ] = None,
    profile: ProfileOption = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again and again, until its run has ended.")
    ] = False,
    every: Annotated[
        float, typer.Option("--every", min=0.1, metavar="SECONDS", help="How often, with --watch.")
    ] = 2.0,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Show which steps are done, running, waiting, failed, cancelled or interrupted, and the time left.

    Works while the study runs, from any shell and any machine that sees the store. What needs a step
    that failed or was cancelled is blocked; what was interrupted goes on from its newest checkpoint. A
    process that holds a step and gave no sign of life for a minute is named.

    Examples: `harness status`, `harness status quickstart --watch`
    """
    store = open_store(home)
    if study is None:
        overviews = [look_over(plan, store) for plan in noted_plans(store.location)]
        if json:
            print_json({"studies": [_brief(one) for one in overviews]})
        else:
            status_text.show_studies(overviews)
        return
    if (submission := find_submission(store.location, study)) is not None:
        sys.stderr.write(f"{study} at {submission.address}: {job_state(submission)}\n")
        study, profile = submission.study, submission.profile or None
        if read_noted(store.location, study, profile=profile) is None:
            sys.stderr.write(f"{study} has not started yet\n")
            return
    plan = _plan(study, profile, store)
    if json:
        print_json(as_json(look_over(plan, store)))
    elif watch:
        status_text.watch(lambda: look_over(plan, store), store, pause=lambda: time.sleep(every))
    else:
        sys.stdout.write(status_text.render(look_over(plan, store), store))


def _plan(study: str, profile: str | None, store: ArtifactStore) -> NotedPlan:
    """Return the plan that was noted when the study ran, or make it if its file is another now."""
    known = read_noted(store.location, study_name(study), profile=profile)
    named = (Path(study), STUDIES / f"{study}.yaml")
    file = next((path for path in named if path.is_file()), None)
    # Asked from another folder, what was noted is all there is.
    if known is not None and (file is None or digest(file) == known.source):
        return known
    from harness.plan import compile_plan
    from harness.study import find_study, load_study

    file = find_study(study)
    return noted(compile_plan(load_study(file, profile=profile)), profile=profile, file=file)


def _brief(overview: Overview) -> dict[str, object]:
    found = as_json(overview)
    del found["steps"]
    return found
