"""Data steps that somebody asks for outside a study's run, in the sight of others.

Owns `run_data_plan`. The rule: while they run, status, logs and cancel know them as `STUDY-data`;
afterwards nothing is noted, since no study needs more for having been looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from harness.execution.backends import Backend
from harness.execution.ends import Progress
from harness.execution.noted import note_plan, noted, remove_note
from harness.execution.overseen import RunCancelledError
from harness.execution.oversight import Oversight
from harness.execution.runner import RunSummary, run_plan
from harness.execution.store import ArtifactStore
from harness.plan import Plan


def run_data_plan(
    plan: Plan,
    store: ArtifactStore,
    open_backend: Callable[[], Backend],
    *,
    mirrors: tuple[Path, ...],
    progress: Progress,
    announce: Callable[[str], None],
) -> RunSummary:
    """Run every step of a plan that has no artifact yet.

    Args:
        plan: The steps, under their study's name.
        store: Where artifacts are and will be.
        open_backend: Makes the backend; called only if there is something to run.
        mirrors: Folders that stand in for the hub.
        progress: Told of every event.
        announce: Takes a line for people.

    Raises:
        RunCancelledError: If somebody cancelled steps.
    """
    shown = replace(plan, study=f"{plan.study}-data")

    def opened() -> Backend:
        backend = open_backend()
        note_plan(store.location, noted(shown))
        return backend

    try:
        summary = run_plan(
            shown,
            store,
            opened,
            mirrors=mirrors,
            progress=progress,
            announce=announce,
            oversight=Oversight(store.location, plan=shown, announce=announce),
        )
    finally:
        remove_note(store.location, shown.study)
    if summary.cancelled:
        raise RunCancelledError(
            f"cancelled: {len(summary.cancelled)} steps of {shown.study}",
            cure="the same command goes on from there",
        )
    return summary
