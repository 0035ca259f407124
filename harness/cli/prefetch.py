"""`harness prefetch`: what a study reads from the hub, into a mirror."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import JsonOption, ProfileOption, StudyArgument, print_json
from harness.plan import compile_plan
from harness.plan.needs import hub_needs
from harness.study import find_study, load_study


def command(
    study: StudyArgument,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="The mirror; made when missing.")],
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Bring the datasets and base checkpoints that a study reads from the hub into a mirror.

    Datasets come at the revision that mteb pins, checkpoints at the study's. What is there is not
    fetched again; after a kill the same command goes on. Take DIR to a machine without a network and
    give it there as --mirror.

    Example: `harness prefetch my-study.yaml --to ./mirror`
    """
    needs = hub_needs(compile_plan(load_study(find_study(study), profile=profile)).steps.values())
    from harness.data.prefetch import prefetch

    brought = prefetch(needs, to.absolute(), report=_say)
    if json:
        print_json({name: asdict(entry) for name, entry in brought.items()})
        return
    size = sum(entry.size for entry in brought.values())
    sys.stdout.write(f"{len(brought)} repositories in {to}, {size / 1e6:.1f} MB\n")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
