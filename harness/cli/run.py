"""`harness run`: make a study's plan true, then write its tables and page."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from harness.cli.commitments import check_comparisons, look_ahead
from harness.cli.mirroring import check_plan, chosen_mirrors
from harness.cli.options import (
    HomeOption,
    JsonOption,
    MirrorOption,
    ProfileOption,
    StudyArgument,
    print_json,
)
from harness.cli.progress import RunDisplay
from harness.cli.tracking import check_tracking
from harness.execution.backends import Backend, InProcessBackend
from harness.execution.collect import collect, collect_per_query, write_study
from harness.execution.expectations import note_expectations
from harness.execution.process_backend import ProcessBackend
from harness.execution.runner import RunSummary, run_plan
from harness.execution.states import plan_states
from harness.execution.store import ArtifactStore, default_home
from harness.plan import Plan, compile_plan
from harness.plan.forecast import check_budget
from harness.study import Study, find_study, load_study

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended, as shells give it."""


def command(
    study: StudyArgument,
    profile: ProfileOption = None,
    home: HomeOption = None,
    backend: Annotated[
        Literal["ray", "processes", "in-process"],
        typer.Option(help="Where steps run: on Ray, in processes of this machine, or one by one here."),
    ] = "ray",
    address: Annotated[
        str,
        typer.Option(envvar="RAY_ADDRESS", help="Ray cluster to join; a local one is started if empty."),
    ] = "",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processor cores of this machine to use. Default: all.")
    ] = None,
    mirror: MirrorOption = None,
    reports: Annotated[
        Path, typer.Option(help="Folder under which the study's page is written.")
    ] = Path("reports"),
    json: JsonOption = False,
) -> None:
    """Train and score every variant of a study that is not done yet; write tables and a page.

    Finished steps are never run again: after a kill, an error or an edit, run the same command.

    Examples: `harness run quickstart`, `harness run my-study.yaml --backend in-process`
    """
    loaded = load_study(find_study(study), profile=profile)
    plan = compile_plan(loaded)
    store = ArtifactStore(home or default_home())
    mirrors = chosen_mirrors(mirror, loaded)
    states = plan_states(plan, store)
    check_plan(study, states, mirrors, profile=profile)
    check_tracking(states)
    check_comparisons(loaded, plan, states)
    outlook = look_ahead(loaded, plan, states, store)
    check_budget(loaded, plan, outlook.costs, outlook.to_run, outlook.forecast)

    def open_backend() -> Backend:
        opened = backend_opener(backend, address, workers)()
        # Now that steps will run: a run that cannot start leaves nothing.
        note_expectations(store.study_folder(plan.study), outlook.costs, outlook.to_run)
        return opened

    summary = _run(loaded, plan, store, open_backend, mirrors)
    _finish(loaded, plan, store, summary, reports / loaded.name, as_json=json)
    if summary.failed:
        raise typer.Exit(1)


def _run(
    study: Study,
    plan: Plan,
    store: ArtifactStore,
    open_backend: Callable[[], Backend],
    mirrors: tuple[Path, ...],
) -> RunSummary:
    """Run the plan, and show it; Ctrl-C ends the command."""
    try:
        with RunDisplay(len(plan.steps), home=str(store.home)) as display:
            return run_plan(
                plan,
                store,
                open_backend,
                mirrors=mirrors,
                progress=display,
                policy=study.queue,
                announce=display.announce,
            )
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: what was finished is kept; the same command goes on from there\n")
        raise typer.Exit(INTERRUPTED) from None


def _finish(
    study: Study, plan: Plan, store: ArtifactStore, summary: RunSummary, folder: Path, *, as_json: bool
) -> None:
    """Write records, tables and page, and tell where they are."""
    from harness.cli.display import show_table
    from harness.report.content import build_report
    from harness.report.write import write_report
    from harness.tables.queries import read_queries

    study_summary, records = collect(study, plan, store, failures={**summary.failed, **summary.given_up})
    source = store.study_folder(study.name)
    write_study(study_summary, records, source, per_query=collect_per_query(plan, store, records))
    queries = read_queries(source)
    files = write_report(study_summary, records, folder, queries=queries)
    if as_json:
        print_json(_as_json(plan, summary, files, store))
        return
    show_table(build_report(study_summary, records, queries=queries).table)
    counts = summary.counts()
    sys.stderr.write(
        f"\n{counts['run']} steps run, {counts['reused']} reused, {counts['failed']} failed, "
        f"{counts['skipped']} skipped\npage: {(folder / 'index.html').absolute()}\n"
    )


def backend_opener(backend: str, address: str, workers: int | None) -> Callable[[], Backend]:
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
