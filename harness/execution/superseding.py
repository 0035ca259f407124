"""What a study no longer needs once it was edited.

Owns the comparison of a new plan with the one that was noted before and with runs that are under way.
The rule: what is gone is shown before it is cancelled, and a step that another study's run is to bring
about is not gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.execution.location import Location
from harness.execution.noted import NotedPlan, NotedStep, read_noted
from harness.execution.runs import Ask, Run, Runs
from harness.execution.store import ArtifactStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Superseded:
    """What the edit of a study took out of it."""

    gone: tuple[NotedStep, ...]
    """Steps of the plan that was noted before."""
    num_done: int
    """How many of them have an artifact, which stays until it is collected."""
    asks: tuple[tuple[Run, frozenset[str]], ...]
    """Runs of the study that are under way, and the steps that they need not bring about any more."""


def superseded(store: ArtifactStore, plan: NotedPlan) -> Superseded:
    """Return what a plan leaves out that the same study, under the same profile, had before."""
    before = read_noted(store.location, plan.study, profile=plan.profile)
    known = before.steps if before is not None else {}
    gone = tuple(step for name, step in known.items() if name not in plan.steps)
    done = store.touched({step.stage for step in gone})
    living = Runs(store.location).living()
    elsewhere = set[str]().union(*(run.steps for run in living if run.study != plan.study))
    asks = []
    for run in living:
        if (run.study, run.profile) == (plan.study, plan.profile):
            names = run.steps - plan.steps.keys() - done - elsewhere
            if names:
                asks.append((run, names))
    return Superseded(
        gone=gone, num_done=sum(step.fingerprint in done for step in gone), asks=tuple(asks)
    )


def cancel_superseded(home: Path | Location, found: Superseded) -> None:
    """Ask the runs that are under way to leave out what is gone."""
    runs = Runs(home)
    for run, names in found.asks:
        runs.ask(run, Ask(verb="cancel", steps=names, why="no longer in the study"))
