"""`harness data overlap`: evaluation texts that stand in the training pairs."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Literal

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

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
from harness.cli.run import backend_opener
from harness.data.overlap_settings import Settings
from harness.execution.data_run import run_data_plan
from harness.execution.homes import open_store
from harness.execution.overlap import collect_overlap
from harness.execution.states import plan_states
from harness.identity.canonical import to_plain
from harness.plan.overlap import compile_overlap
from harness.records.overlap import OVERLAP_NAME, Overlap, findings_to_plain, write_overlap
from harness.study import find_study, load_study

_DEFAULT = Settings()


def command(
    study: StudyArgument,
    profile: ProfileOption = None,
    home: HomeOption = None,
    mirror: MirrorOption = None,
    backend: Annotated[
        Literal["ray", "processes", "in-process"],
        typer.Option(help="Where steps run: one by one here, in processes of this machine, or on Ray."),
    ] = "in-process",
    threshold: Annotated[
        float, typer.Option(min=0.05, max=1, help="Jaccard similarity of near duplicates.")
    ] = _DEFAULT.threshold,
    permutations: Annotated[
        int, typer.Option(min=16, help="Length of a MinHash signature.")
    ] = _DEFAULT.permutations,
    leaked_share: Annotated[
        float, typer.Option("--leaked", min=0, max=1, help="Share of texts from which a task is leaked.")
    ] = 0.01,
    json: JsonOption = False,
) -> None:
    """Look for the texts of every task in every pair set that a variant is trained on.

    Texts are equal but for case, punctuation and spaces, or near duplicates: their word pairs have a
    Jaccard similarity of at least the threshold (picked by MinHash, then computed). What was compared is
    not compared again. The result lies beside the study's records: tables mark leaked cells by it, and
    `harness tables STUDY --columns leaked` splits on it. Exit code 1: a task could not be compared.

    Example: `harness data overlap quickstart`
    """
    loaded = load_study(find_study(study), profile=profile)
    settings = Settings(threshold=threshold, permutations=permutations)
    compared = compile_overlap(loaded, settings)
    store = open_store(home)
    mirrors = chosen_mirrors(mirror, loaded)
    check_plan(study, plan_states(compared.plan, store), mirrors, profile=profile)
    with RunDisplay(len(compared.plan.steps), home=store.address) as display:
        opener, say = backend_opener(backend, "", None), display.announce
        summary = run_data_plan(
            compared.plan, store, opener, mirrors=mirrors, progress=display, announce=say
        )
    found = collect_overlap(
        compared, store, settings=settings, leaked_share=leaked_share, failures=summary.failed
    )
    path = store.study_folder(loaded.name) / OVERLAP_NAME
    write_overlap(found, path)
    store.share_study(loaded.name)
    if json:
        print_json({**_as_json(found), "file": str(path)})
    else:
        _print(found)
        sys.stderr.write(f"{path}\n")
    if found.missing:
        raise typer.Exit(1)


def _as_json(found: Overlap) -> dict[str, Any]:
    variants = {
        label: {"leaked": sorted(found.leaked(label)), "in_domain": found.in_domain_for(label)}
        for label in found.trained_on
    }
    return {**to_plain(found), "findings": findings_to_plain(found.findings), "variants": variants}


def _print(found: Overlap) -> None:
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("task", "texts", "pairs", "number", "equal", "near", "share", ""):
        is_number = heading in {"number", "equal", "near", "share"}
        table.add_column(heading, overflow="fold", justify="right" if is_number else "left")
    for one in found.findings:
        marks = [
            *(["leaked"] if found.is_leaked(one) else []),
            *(["in-domain"] if one.task in found.in_domain.get(one.pairs, ()) else []),
        ]
        counts = (one.num_texts, one.num_exact, one.num_near)
        numbers = [f"{number:,}" for number in counts]
        cells = [one.task, one.kind, one.pairs, *numbers, f"{one.share:.2%}", ", ".join(marks)]
        table.add_row(*(escape(cell) for cell in cells))
    (Console() if sys.stdout.isatty() else Console(width=200)).print(table)
    for task, reason in found.missing.items():
        sys.stderr.write(f"{task}: not compared: {reason}\n")
