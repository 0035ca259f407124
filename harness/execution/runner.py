"""One plan, made true.

Owns `run_plan`: a session with one plan, run to its end, and the summary of what it did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from harness.execution.backends import Backend
from harness.execution.session import Ended, Progress, Session
from harness.execution.store import ArtifactStore
from harness.plan import Plan


@dataclass(slots=True, kw_only=True)
class RunSummary:
    """What a run did with each step."""

    done: list[str] = field(default_factory=list)
    """Fingerprints of the steps that ran to their end."""
    reused: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """Fingerprint -> why."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Fingerprint -> fingerprint of the failed step that it depends on."""

    @classmethod
    def of(cls, ends: Iterable[Ended]) -> Self:
        """Return the summary of a session's ends; cancelled steps are in none of the lists."""
        summary = cls()
        for ended in ends:
            name = ended.step.fingerprint
            if ended.state == "done":
                summary.done.append(name)
            elif ended.state == "reused":
                summary.reused.append(name)
            elif ended.state == "failed":
                summary.failed[name] = ended.message
            elif ended.state == "skipped":
                summary.skipped[name] = ended.cause
        return summary

    def counts(self) -> dict[str, int]:
        """Return how many steps ran, were reused, failed or were skipped."""
        return {
            "run": len(self.done),
            "reused": len(self.reused),
            "failed": len(self.failed),
            "skipped": len(self.skipped),
        }


def run_plan(
    plan: Plan,
    store: ArtifactStore,
    open_backend: Callable[[], Backend],
    *,
    mirrors: tuple[Path, ...] = (),
    progress: Progress,
) -> RunSummary:
    """Run every step of a plan that has no artifact yet.

    Args:
        plan: The steps.
        store: Where artifacts are and will be.
        open_backend: Makes the backend; called only if there is something to run.
        mirrors: Folders that stand in for the hub.
        progress: Told of every event.

    Returns:
        What was done with each step; failed steps are in it, not raised.
    """
    with Session(store, open_backend, mirrors=mirrors, progress=progress) as session:
        session.add(plan)
        while not session.is_idle:
            session.advance()
        return RunSummary.of(session.ended.values())
