"""`harness retry`: try again what failed, with fresh budgets."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from harness.cli.options import (
    AddressOption,
    BackendOption,
    HomeOption,
    JsonOption,
    MirrorOption,
    PriorityOption,
    ProfileOption,
    ReportsOption,
    StudyArgument,
    WorkersOption,
)
from harness.cli.run import backend_opener, run_study
from harness.errors import HarnessError
from harness.execution.failures import FAILURE_KINDS
from harness.execution.journal import JOURNAL_NAME, Journal
from harness.execution.runs import Ask, Runs
from harness.execution.store import ArtifactStore, default_home
from harness.plan import Plan, compile_plan
from harness.plan.selection import select_after
from harness.study import find_study, load_study

_ANY = "any"
_GROUPS = {"oom": ("cuda-oom", "host-oom"), _ANY: FAILURE_KINDS}


class WithBareFailed(TyperCommand):
    """Lets `--failed` stand without a kind, for all of them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command's words."""
        words = [*args, ""]
        is_bare = [
            word == "--failed" and not _are_kinds(after) for word, after in itertools.pairwise(words)
        ]
        named = [f"--failed={_ANY}" if bare else word for word, bare in zip(args, is_bare, strict=True)]
        return super().parse_args(ctx, named)


def command(
    study: StudyArgument,
    failed: Annotated[
        str,
        typer.Option(
            "--failed",
            metavar="KIND",
            help=f"Only what failed so: any, oom, {', '.join(FAILURE_KINDS)}; several with commas.",
        ),
    ] = _ANY,
    profile: ProfileOption = None,
    priority: PriorityOption = 0,
    home: HomeOption = None,
    backend: BackendOption = "ray",
    address: AddressOption = "",
    workers: WorkersOption = None,
    mirror: MirrorOption = None,
    reports: ReportsOption = Path("reports"),
    json: JsonOption = False,
) -> None:
    """Try failed steps of a study again, and what waits for them, as if they had never failed.

    A run of the study that is under way is asked to do it; without one, it is done here.

    Examples: `harness retry quickstart`, `harness retry my-study.yaml --failed=oom`
    """
    plan = compile_plan(load_study(find_study(study), profile=profile))
    store = ArtifactStore(home or default_home())
    names = failed_steps(plan, store, kinds_of(failed))
    if not names:
        sys.stderr.write(f"no step of {plan.study} failed so\n")
        return
    runs = Runs(store.home)
    asked = [
        run
        for run in runs.living()
        if (run.study, run.profile) == (plan.study, profile or "") and run.steps & names
    ]
    for run in asked:
        runs.ask(run, Ask(verb="retry", steps=frozenset(names), why="`harness retry`"))
        sys.stderr.write(f"asked the run on {run.where} to try {len(names)} steps again\n")
    if asked:
        return
    run_study(
        study,
        profile=profile,
        home=home,
        open_backend=backend_opener(backend, address, workers),
        select=lambda whole: select_after(whole, names),
        priority=priority,
        mirror=mirror,
        reports=reports,
        as_json=json,
    )


def _are_kinds(text: str) -> bool:
    return all(word in _GROUPS or word in FAILURE_KINDS for word in text.split(","))


def kinds_of(failed: str) -> set[str]:
    """Return the kinds of failure that an option names.

    Raises:
        HarnessError: If it names an unknown one.
    """
    found: set[str] = set()
    for word in failed.split(","):
        if not _are_kinds(word):
            raise HarnessError(
                f"--failed: {word!r} is no kind of failure",
                cure=f"allowed: {', '.join([_ANY, 'oom', *FAILURE_KINDS])}",
            )
        found.update(_GROUPS.get(word, (word,)))
    return found


def failed_steps(plan: Plan, store: ArtifactStore, kinds: set[str]) -> set[str]:
    """Return the steps of a plan whose last try failed in one of some ways, and that are not done."""
    latest = Journal(store.home / JOURNAL_NAME).latest()
    return {
        name
        for name, step in plan.steps.items()
        if (event := latest.get(name)) is not None
        and event.kind in {"failed", "preempted"}
        and (event.failure or "error") in kinds
        and not store.has(step.stage, name)
    }
