"""`harness search`: look for the best values of some settings, sharing every finished cell."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.mirroring import check_plan, chosen_mirrors
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
    print_json,
)
from harness.cli.run import INTERRUPTED, backend_opener
from harness.errors import HarnessError
from harness.execution.backends import Backend
from harness.execution.homes import check_folder, default_home, open_store
from harness.execution.overseen import overseen_session
from harness.execution.oversight import Oversight
from harness.execution.states import plan_states
from harness.plan import Plan
from harness.study import Study, find_study, load_study

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from harness.search.cells import Cells
    from harness.search.ledger import Ledger

StorageOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        envvar="HARNESS_SEARCH_STORAGE",
        help="PostgreSQL or MySQL database for drivers on many machines. Default: a file in the store.",
    ),
]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Trials at once. Default: processor cores.")
]
SeedOption = Annotated[
    int | None, typer.Option(min=0, help="Another seed of the sampler: an independent search.")
]
ReportFlag = Annotated[
    bool, typer.Option("--report", help="Write the page of what there is; run nothing.")
]
AroundFlag = Annotated[
    bool,
    typer.Option("--around-best", help="Write the leave-one-out study around the best; run nothing."),
]
DashboardFlag = Annotated[
    bool, typer.Option("--dashboard", help="Serve optuna-dashboard on loopback; run nothing.")
]


def command(
    study: StudyArgument,
    profile: ProfileOption = None,
    home: HomeOption = None,
    workers: WorkersOption = None,
    priority: PriorityOption = 0,
    backend: BackendOption = "ray",
    address: AddressOption = "",
    mirror: MirrorOption = None,
    storage: StorageOption = None,
    sampler_seed: SeedOption = None,
    report: ReportFlag = False,
    around_best: AroundFlag = False,
    dashboard: DashboardFlag = False,
    port: Annotated[int, typer.Option(min=1, help="Port of the dashboard.")] = 8080,
    reports: ReportsOption = Path("reports"),
    json: JsonOption = False,
) -> None:
    """Run the trials of a study's `search` section up to their number; write a page and the best study.

    Trials are variants: what has been trained and scored is not done again. After a kill, run the same
    command again. Raise `trials` in the study to go on.

    Examples: `harness search temperature-and-rank --profile laptop --workers 2`,
    `harness search temperature-and-rank --report`
    """
    import optuna

    from harness.search.cells import Cells
    from harness.search.opening import open_ledger

    # Optuna tells of each trial on its own; the driver's lines say the same and more.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    loaded = load_study(find_study(study), profile=profile)
    check_folder(home or default_home(), verb="search", cure="--home FOLDER")
    cells = Cells(_with_seed(loaded, sampler_seed), open_store(home))
    if dashboard:
        _serve(cells, storage, port)
        return
    is_run = not (report or around_best)
    if is_run:
        mirrors = chosen_mirrors(mirror, loaded)
        check_plan(study, plan_states(cells.plan({}), cells.store), mirrors, profile=profile)
    ledger = open_ledger(cells, storage=storage, tell=_tell)
    if is_run:
        opener = backend_opener(backend, address, None)
        _run(cells, ledger, opener, workers=workers, priority=priority, mirrors=mirrors)
    folder = reports / cells.study.name
    _finish(cells, ledger, folder, profile=profile, around=around_best, as_json=json)


def _run(
    cells: Cells,
    ledger: Ledger,
    open_backend: Callable[[], Backend],
    *,
    workers: int | None,
    priority: int,
    mirrors: tuple[Path, ...],
) -> None:
    from harness.search.driver import Driver
    from harness.search.repeating import repeat_best

    # Steps that run in this process send `sys.stderr` to their logs.
    stream = sys.stderr

    def tell(line: str) -> None:
        print(line, file=stream, flush=True)

    try:
        with (
            ledger,
            overseen_session(
                cells.store,
                open_backend,
                Oversight(
                    cells.store.home,
                    plan=Plan(study=cells.study.name, steps={}, rows=()),
                    priority=priority,
                    announce=tell,
                ),
                mirrors=mirrors,
                policy=cells.study.queue,
            ) as session,
        ):
            Driver(cells, ledger, session, workers=workers or os.cpu_count() or 1, tell=tell).run()
            repeat_best(cells, ledger, session, tell=tell)
    except KeyboardInterrupt:
        _tell("interrupted: what was finished is kept; the same command goes on from there")
        raise typer.Exit(INTERRUPTED) from None


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _with_seed(study: Study, seed: int | None) -> Study:
    if study.search is None or seed is None:
        return study
    sampler = replace(study.search.sampler, seed=seed)
    return replace(study, search=replace(study.search, sampler=sampler))


def _finish(
    cells: Cells, ledger: Ledger, folder: Path, *, profile: str | None, around: bool, as_json: bool
) -> None:
    """Write records, page and studies, and tell what was found."""
    from harness.report.write import write_report
    from harness.search.page import write_page
    from harness.search.results import best_trials, describe_trials, write_results
    from harness.search.studies import write_around, write_best
    from harness.tables.queries import read_queries

    best = best_trials(ledger)
    if not best:
        raise HarnessError(
            f"no trial of {ledger.study.study_name} has a value",
            cure=f"harness search {cells.study.path} runs it; harness status tells what failed",
        )
    summary, records = write_results(cells, ledger)
    queries = read_queries(cells.store.study_folder(cells.study.name))
    files = [
        write_page(cells, ledger, folder),
        *write_report(summary, records, folder, queries=queries),
        write_best(cells, best[0], folder / "best.yaml", profile=profile),
    ]
    if around:
        files.append(write_around(cells, best[0], folder / "around-best.yaml", profile=profile))
    if as_json:
        trials = describe_trials(ledger.trials())
        print_json(
            {
                "search": ledger.study.study_name,
                "study": cells.study.name,
                "trials": trials,
                "best": describe_trials(best),
                "files": [str(file) for file in files],
            }
        )
        return
    _show(cells, best, files)


def _show(cells: Cells, best: Sequence[FrozenTrial], files: Sequence[Path]) -> None:
    for trial in best:
        values = ", ".join(
            f"{objective.text} {value:.5g}"
            for objective, value in zip(cells.objectives, trial.values, strict=True)
        )
        sys.stdout.write(f"trial {trial.number}: {values}\n")
        for name, value in trial.params.items():
            sys.stdout.write(f"  {name}: {value}\n")
    sys.stderr.write("".join(f"{file}\n" for file in files))


def _serve(cells: Cells, storage: str | None, port: int) -> None:
    """Serve optuna-dashboard on loopback until it is interrupted."""
    from harness.search.opening import search_folder, storage_url
    from harness.search.storage import open_storage

    try:
        from optuna_dashboard import run_server
    except ImportError as error:
        raise HarnessError(
            "the dashboard needs the package optuna-dashboard",
            cure="pip install 'embedding-harness[dashboard]'",
        ) from error
    name = cells.identity().study
    opened = open_storage(storage_url(cells.search, storage), search_folder(cells.store.home, name))
    _tell(f"http://127.0.0.1:{port}/")
    run_server(opened, host="127.0.0.1", port=port)
