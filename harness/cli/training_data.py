"""`harness data sources` and `harness data show`: what there is to train on, and what is in it."""

from __future__ import annotations

import json as json_format
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.cli.mirroring import chosen_mirrors
from harness.cli.options import HomeOption, JsonOption, MirrorOption, ProfileOption, print_json
from harness.errors import DataError, did_you_mean
from harness.plan.pairs import compile_pairs
from harness.study import Study, find_study, load_study
from harness.study.document import ResourcePlan
from harness.study.training_sets import (
    known_sources,
    pair_sets,
    training_mixtures,
    training_sets,
    with_parts,
)


def sources_command(json: JsonOption = False) -> None:
    """List the public training sets and the papers' mixtures that any study may name.

    Example: `harness data sources`
    """
    sets = training_sets()
    if json:
        rows = {
            name: {
                "repository": entry.hub,
                "revision": entry.revision,
                "licence": entry.licence,
                "languages": entry.languages,
                "pairs": entry.pairs,
                "sampled": entry.sampled,
                "instructions": entry.instructions,
                "in_domain": entry.tasks_in_domain(),
            }
            for name, entry in sets.items()
        }
        print_json({"sets": rows, "mixtures": training_mixtures()})
        return
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("set", "repository", "revision", "licence", "languages", "pairs"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "pairs" else "left")
    for name, entry in sets.items():
        pairs = f"{entry.pairs:,}" if entry.pairs else "?"
        revision = (entry.revision or "to be given")[:12]
        cells = [name, entry.hub, revision, entry.licence, " ".join(entry.languages), pairs]
        table.add_row(*(escape(cell) for cell in cells))
    console = _console()
    console.print(table)
    for name, parts in training_mixtures().items():
        listed = ", ".join(part if share == 1 else f"{part} {share:g}" for part, share in parts.items())
        console.print(f"mixture {name}: {listed}", markup=False, highlight=False)


def show_command(
    name: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A source of the study, or a set or mixture of all.")
    ],
    study: Annotated[
        str | None, typer.Option("--study", metavar="STUDY", help="The study whose sources are meant.")
    ] = None,
    pairs: Annotated[
        str | None, typer.Option("--pairs", metavar="SET", help="Which of its pair sets.")
    ] = None,
    profile: ProfileOption = None,
    home: HomeOption = None,
    mirror: MirrorOption = None,
    json: JsonOption = False,
) -> None:
    """Show what a training source or mixture holds: counts, lengths, languages, copies, hard negatives.

    It is built first where it is not there yet, cleaned and mined as the study says.

    Examples: `harness data show full`, `harness data show bbc --study quickstart --pairs headlines`
    """
    loaded = _study(study, profile, name)
    sets = pair_sets(loaded.sources[name])
    chosen = pairs or sets[0]
    if chosen not in sets:
        raise DataError(
            f"source {name} has no pair set {chosen!r}.{did_you_mean(chosen, sets)}",
            cure=f"It has: {', '.join(sets)}.",
        )
    statistics = _statistics(loaded, name, chosen, home, mirror)
    if json:
        print_json({"source": name, "pairs": chosen, **statistics})
        return
    _print_statistics(statistics)


def _study(study: str | None, profile: str | None, source: str) -> Study:
    loaded = _catalogue_study() if study is None else load_study(find_study(study), profile=profile)
    known = known_sources(loaded.sources)
    if source not in known:
        hint = "" if study else " Sources of a study need `--study`."
        raise DataError(
            f"no source {source!r}.{did_you_mean(source, known)}{hint}",
            cure=f"There are: {', '.join(known)}.",
        )
    sources = {**loaded.sources, **with_parts([source], known)}
    return replace(loaded, sources=sources)


def _catalogue_study() -> Study:
    return Study(
        name="catalogue",
        question="",
        path=Path("catalogue.yaml"),
        bases={},
        sources={},
        suites={},
        factors={},
        variants=(),
        baseline="",
        references=(),
        resources=ResourcePlan(),
    )


def _statistics(
    study: Study, source: str, pairs: str, home: Path | None, mirror: list[Path] | None
) -> dict[str, Any]:
    from harness.data.pair_statistics import STATISTICS_NAME
    from harness.execution.backends import InProcessBackend
    from harness.execution.data_run import run_data_plan
    from harness.execution.homes import open_store

    plan, last = compile_pairs(study, source, pairs=pairs)
    store = open_store(home)

    def progress(event: str, step: Any, message: str) -> None:
        if event != "reused":
            sys.stderr.write(f"{step.name}: {event} {message}".rstrip() + "\n")

    stream = sys.stderr
    summary = run_data_plan(
        plan,
        store,
        InProcessBackend,
        mirrors=chosen_mirrors(mirror, study),
        progress=progress,
        announce=lambda line: print(line, file=stream),
    )
    if summary.failed:
        raise DataError(
            "\n".join(f"{plan.steps[one].label}: {why}" for one, why in summary.failed.items())
        )
    told = []
    for step in plan.steps.values():
        path = store.fetch(step.stage, step.fingerprint) / STATISTICS_NAME
        if path.is_file():
            found = json_format.loads(path.read_text(encoding="utf-8"))
            sets = found.pop("sets")
            told += [{"step": step.name, "source": step.label, **found}] if found else []
    # Inputs come before what needs them: the last step's sets were read last.
    return {"step": last.name, **sets[pairs], "told": told}


_COLUMNS: tuple[tuple[str, Callable[[dict[str, Any]], str]], ...] = (
    ("pairs", lambda one: f"{one['pairs']:,}"),
    ("query characters", lambda one: _spread(one["query_characters"])),
    ("positive characters", lambda one: _spread(one["positive_characters"])),
    ("hard negatives", lambda one: _share(one["with_hard_negatives"], one["pairs"])),
    ("repeated queries", lambda one: _share(one["duplicate_queries"], one["pairs"])),
    ("copies", lambda one: _share(one["duplicate_pairs"], one["pairs"])),
    ("languages", lambda one: _languages(one["languages"])),
)


def _print_statistics(statistics: dict[str, Any]) -> None:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("dataset", overflow="fold")
    for heading, _ in _COLUMNS:
        table.add_column(heading, justify="right", overflow="fold")
    parts = statistics["datasets"]
    for name, numbers in (*parts.items(), *([("all", statistics["all"])] if len(parts) != 1 else [])):
        table.add_row(escape(name or "-"), *(show(numbers) for _, show in _COLUMNS))
    console = _console()
    console.print(table)
    for told in statistics["told"]:
        for kind in ("cleaning", "mining", "columns_passed_over"):
            counts = told.get(kind, {})
            if counts:
                listed = ", ".join(f"{number:,} {what}" for what, number in counts.items())
                label = kind.replace("_", " ")
                console.print(f"{told['source']}: {label}: {listed}", markup=False, highlight=False)


def _spread(values: dict[str, float]) -> str:
    return f"{values['median']:,.0f} / {values['p95']:,.0f} / {values['max']:,.0f}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _languages(counts: dict[str, int]) -> str:
    total = sum(counts.values())
    return ", ".join(f"{name} {100 * number / total:.0f} %" for name, number in list(counts.items())[:4])


def _console() -> Console:
    return Console() if sys.stdout.isatty() else Console(width=200)
