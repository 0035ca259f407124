"""What an edit took out of a study: shown first, then cancelled."""

from __future__ import annotations

import sys

from harness.execution.noted import NotedPlan
from harness.execution.store import ArtifactStore
from harness.execution.superseding import cancel_superseded, superseded

_MAX_SHOWN = 10


def supersede(store: ArtifactStore, plan: NotedPlan) -> None:
    """Tell what a study needed before and does not need now, and cancel it where it is under way."""
    found = superseded(store, plan)
    if found.gone:
        sys.stderr.write(
            f"{len(found.gone)} steps are no longer in {plan.study}; {found.num_done} of them are done, "
            "and stay until `harness gc`\n"
        )
        for step in found.gone[:_MAX_SHOWN]:
            sys.stderr.write(f"  {step.name}  {step.label}\n")
        if len(found.gone) > _MAX_SHOWN:
            sys.stderr.write(f"  and {len(found.gone) - _MAX_SHOWN} more\n")
    for run, names in found.asks:
        sys.stderr.write(f"cancelling {len(names)} steps in the run on {run.where}\n")
    cancel_superseded(store.location, found)
