"""`harness retry`: try again what failed, with fresh budgets."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Annotated, Any, cast

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
from harness.execution.failures import FAILURE_KINDS, Failure, FailureKind
from harness.execution.homes import open_store
from harness.execution.journal import JOURNAL_NAME, Journal
from harness.execution.policy import Breaker
from harness.execution.runs import Ask, Runs
from harness.execution.store import ArtifactStore
from harness.plan import Plan, Step, compile_plan
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
    missing: Annotated[
        bool, typer.Option("--missing", help="Only what lacked evaluation data: --failed=missing.")
    ] = False,
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

    Examples: `harness retry quickstart`, `harness retry my-study.yaml --failed=oom`,
    `harness retry my-study.yaml --missing`
    """
    loaded = load_study(find_study(study), profile=profile)
    plan = compile_plan(loaded)
    store = open_store(home)
    kinds = kinds_of("missing" if missing else failed)
    names = failed_steps(plan, store, kinds, max_same=loaded.queue.max_same_errors)
    if not names:
        sys.stderr.write(f"no step of {plan.study} failed so\n")
        return
    runs = Runs(store.location)
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


def failed_steps(plan: Plan, store: ArtifactStore, kinds: set[str], *, max_same: int) -> set[str]:
    """Return the steps of a plan whose last try failed in one of some ways, and that are not done.

    With them come those that were never tried since as many as `max_same` like them had failed.
    """
    latest = Journal(store.location.log(JOURNAL_NAME)).latest()
    breaker = Breaker(max_same)
    failed: set[str] = set()
    untried: list[Step] = []
    for name, step in plan.steps.items():
        if store.has(step.stage, name):
            continue
        event = latest.get(name)
        if event is None:
            untried.append(step)
        elif event.kind in {"failed", "preempted"} and (kind := event.failure or "error") in kinds:
            failed.add(name)
            failure = Failure(kind=cast("FailureKind", kind), message="", signature=event.signature)
            breaker.failed(step, failure)
    return failed | {step.fingerprint for step in untried if breaker.verdict(step) is not None}
