"""`harness run`: make a study's plan true, then write its tables and page."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.commitments import check_comparisons, look_ahead
from harness.cli.mirroring import check_plan, chosen_mirrors
from harness.cli.options import (
    AddressOption,
    BackendName,
    BackendOption,
    HomeOption,
    JsonOption,
    MirrorOption,
    PriorityOption,
    ProfileOption,
    ReportsOption,
    StudyArgument,
    WorkersOption,
    print_json,
)
from harness.cli.progress import RunDisplay
from harness.cli.supersede import supersede
from harness.cli.tracking import check_tracking
from harness.execution.backends import Backend, InProcessBackend
from harness.execution.collect import collect, collect_per_query, write_study
from harness.execution.expectations import note_expectations
from harness.execution.homes import open_store
from harness.execution.noted import note_plan, noted
from harness.execution.oversight import Oversight
from harness.execution.process_backend import ProcessBackend
from harness.execution.runner import RunSummary, run_plan
from harness.execution.states import plan_states
from harness.execution.store import ArtifactStore
from harness.plan import Plan, compile_plan
from harness.plan.forecast import check_budget
from harness.plan.selection import select_steps
from harness.study import Study, find_study, load_study

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended, as shells give it."""


def command(
    study: StudyArgument,
    profile: ProfileOption = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="GLOB",
            help="Run what matches, and what it needs: stages, steps, labels, variants, factor=level.",
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option("--except", metavar="GLOB", help="Leave out what matches, and what needs it."),
    ] = None,
    priority: PriorityOption = 0,
    home: HomeOption = None,
    backend: BackendOption = "ray",
    address: AddressOption = "",
    workers: WorkersOption = None,
    mirror: MirrorOption = None,
    reports: ReportsOption = Path("reports"),
    json: JsonOption = False,
) -> None:
    """Train and score every variant of a study that is not done yet; write tables and a page.

    Finished steps are never run again: after a kill, an error or an edit, run the same command. What an
    edit took out of the study is shown, and cancelled in runs of it that are under way.

    Examples: `harness run quickstart`, `harness run my-study.yaml --backend in-process`,
    `harness run my-study.yaml --only "contrastive.temperature=0.02" --except evaluate`
    """
    run_study(
        study,
        profile=profile,
        home=home,
        open_backend=backend_opener(backend, address, workers),
        select=lambda plan: select_steps(plan, only=only or (), without=without or ()),
        priority=priority,
        mirror=mirror,
        reports=reports,
        as_json=json,
    )


def run_study(
    study: str,
    *,
    profile: str | None,
    home: Path | None,
    open_backend: Callable[[], Backend],
    select: Callable[[Plan], Plan],
    priority: int,
    mirror: list[Path] | None,
    reports: Path,
    as_json: bool,
) -> None:
    """Run what is selected of a study, and write its tables and page.

    Raises:
        typer.Exit: With code 1 if steps failed or were cancelled.
    """
    loaded = load_study(find_study(study), profile=profile)
    whole = compile_plan(loaded)
    plan = select(whole)
    store = open_store(home)
    mirrors = chosen_mirrors(mirror, loaded)
    states = plan_states(plan, store)
    check_plan(study, states, mirrors, profile=profile)
    check_tracking(states)
    check_comparisons(loaded, plan, states)
    outlook = look_ahead(loaded, plan, states, store)
    check_budget(loaded, plan, outlook.costs, outlook.to_run, outlook.forecast)
    brief = noted(whole, profile=profile, file=loaded.path)
    supersede(store, brief)

    def opened() -> Backend:
        backend = open_backend()
        # Now that steps will run: a run that cannot start leaves nothing.
        note_expectations(store.location.below(f"studies/{plan.study}"), outlook.costs, outlook.to_run)
        note_plan(store.location, brief)
        return backend

    summary = _run(loaded, plan, store, opened, mirrors, profile=profile or "", priority=priority)
    note_plan(store.location, brief)
    _finish(loaded, whole, store, summary, reports / loaded.name, as_json=as_json)
    if summary.failed or summary.cancelled:
        raise typer.Exit(1)


def _run(
    study: Study,
    plan: Plan,
    store: ArtifactStore,
    open_backend: Callable[[], Backend],
    mirrors: tuple[Path, ...],
    *,
    profile: str,
    priority: int,
) -> RunSummary:
    """Run the plan, and show it; Ctrl-C ends the command."""
    try:
        with RunDisplay(len(plan.steps), home=store.address) as display:
            return run_plan(
                plan,
                store,
                open_backend,
                mirrors=mirrors,
                progress=display,
                policy=study.queue,
                announce=display.announce,
                oversight=Oversight(
                    store.location,
                    plan=plan,
                    profile=profile,
                    priority=priority,
                    announce=display.announce,
                ),
            )
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: what was finished is kept; the same command goes on from there\n")
        raise typer.Exit(INTERRUPTED) from None


def _finish(
    study: Study, plan: Plan, store: ArtifactStore, summary: RunSummary, folder: Path, *, as_json: bool
) -> None:
    """Write records, tables and page, and tell where they are."""
    from harness.cli.display import show_table
    from harness.records.overlap import read_overlap
    from harness.report.content import Report
    from harness.report.write import write_report
    from harness.tables.queries import read_queries

    failures = {**summary.failed, **summary.given_up}
    study_summary, records = collect(study, plan, store, failures=failures, lacking=summary.lacking)
    source = store.study_folder(study.name)
    write_study(study_summary, records, source, per_query=collect_per_query(plan, store, records))
    store.share_study(study.name)
    queries = read_queries(source)
    overlap = read_overlap(source)
    files = write_report(study_summary, records, folder, queries=queries, overlap=overlap)
    if as_json:
        print_json(_as_json(plan, summary, files, store))
        return
    show_table(Report(study_summary, records, queries=queries, overlap=overlap).table)
    counts = summary.counts()
    cancelled = f", {len(summary.cancelled)} cancelled" if summary.cancelled else ""
    sys.stderr.write(
        f"\n{counts['run']} steps run, {counts['reused']} reused, {counts['failed']} failed, "
        f"{counts['skipped']} skipped{cancelled}\npage: {(folder / 'index.html').absolute()}\n"
    )


def backend_opener(backend: BackendName, address: str, workers: int | None) -> Callable[[], Backend]:
    """Return what opens the backend of a command's options, once there is something to run."""
    if backend == "in-process":
        return InProcessBackend
    if backend == "processes":
        return partial(ProcessBackend, num_cpus=workers)

    def open_ray() -> Backend:
        from harness.execution.ray_backend import RayBackend

        return RayBackend(address=address, num_cpus=workers)

    return open_ray


def _as_json(
    plan: Plan, summary: RunSummary, files: list[Path], store: ArtifactStore
) -> dict[str, object]:
    return {
        "study": plan.study,
        "steps": summary.counts(),
        "failures": [
            {
                "step": plan.steps[name].name,
                "message": message,
                "log": str(store.log_file(plan.steps[name].stage, name)),
            }
            for name, message in summary.failed.items()
        ],
        "files": [str(file) for file in files],
        "records": str(store.study_folder(plan.study) / "records.jsonl"),
    }
