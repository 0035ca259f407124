"""The plans of the studies that use a store, in brief.

Owns `studies/<name>/plan.json` (`plan-<profile>.json` under a profile): the steps that a study needs,
as it was when it last ran. The rule: it is written by whoever runs a study, and is enough to tell how
far the study has come, what a step is called and which artifacts are still needed, without the study's
files and without making the plan again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import StoreError
from harness.execution.location import Location, located

if TYPE_CHECKING:
    from harness.plan import Plan

_LAYOUT = 1


class NotedStep(NamedTuple):
    """A step, as far as its place in the queue goes. A tuple, since there are many of them."""

    fingerprint: str
    stage: str
    label: str
    needs: tuple[str, ...]
    """Fingerprints of the steps that come before it."""
    cpus: int
    gpus: float

    @property
    def name(self) -> str:
        """Short name that commands take, as `Step.name`."""
        return f"{self.stage}-{self.fingerprint[:12]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotedPlan:
    """The steps of a study."""

    study: str
    profile: str
    """Empty without one."""
    source: str
    """SHA-256 of the study file."""
    steps: Mapping[str, NotedStep]
    """Fingerprint -> step, inputs before what needs them."""


def searched(study: str) -> str:
    """Return the name under which the search of a study has its steps and records."""
    return f"{study}-search"


def noted(plan: Plan, *, profile: str | None = None, file: Path | None = None) -> NotedPlan:
    """Return a plan in brief.

    Args:
        plan: The plan of a study.
        profile: Under which profile it was made.
        file: The study's file.
    """
    steps = {
        name: NotedStep(
            name,
            step.stage,
            step.label,
            tuple(step.needs),
            step.resources.cpus,
            step.resources.gpus,
        )
        for name, step in plan.steps.items()
    }
    return NotedPlan(study=plan.study, profile=profile or "", source=digest(file), steps=steps)


def digest(file: Path | None) -> str:
    """Return the SHA-256 of a study's file; empty for none."""
    return hashlib.sha256(file.read_bytes()).hexdigest() if file is not None else ""


def note_plan(home: Path | Location, plan: NotedPlan) -> None:
    """Write a plan in brief, in the place of the one that was noted before."""
    lines = ",\n".join(json.dumps(step, ensure_ascii=False) for step in plan.steps.values())
    head = {
        "layout": _LAYOUT,
        "study": plan.study,
        "profile": plan.profile,
        "source": plan.source,
        "steps": [],
    }
    text = json.dumps(head, ensure_ascii=False).removesuffix("]}") + f"\n{lines}\n]}}\n"
    located(home).write(_name(plan.study, plan.profile), text.encode())


def note_more(home: Path | Location, plan: NotedPlan) -> None:
    """Add steps to the plan that was noted before, for a driver that thinks of them one by one.

    The note keeps its time, which says since when steps may be needed that it does not name: of two
    drivers that add at once, one may be overheard. Only stores in folders have such drivers.
    """
    place, name = located(home), _name(plan.study, plan.profile)
    before = _read(place, name)
    file = home / name if isinstance(home, Path) else None
    since = file.stat().st_mtime_ns if file is not None and before is not None else 0
    known = before.steps if before is not None else {}
    note_plan(home, replace(plan, steps={**known, **plan.steps}))
    if file is not None:
        os.utime(file, ns=(since, since))


def read_noted(home: Path | Location, study: str, *, profile: str | None = None) -> NotedPlan | None:
    """Return the plan of a study that was noted last; None if none was.

    Raises:
        StoreError: If the file is damaged.
    """
    return _read(located(home), _name(study, profile or ""))


def noted_plans(home: Path | Location) -> Iterator[NotedPlan]:
    """Yield all plans that are noted in a store, by study.

    Raises:
        StoreError: If a file is damaged.
    """
    place = located(home)
    for name in place.names("studies/*/plan*.json"):
        if (plan := _read(place, name)) is not None:
            yield plan


def remove_note(home: Path | Location, study: str) -> None:
    """Take a study's plan away."""
    located(home).remove(_name(study, ""))


def forget_plans(home: Path | Location, study: str) -> None:
    """Note that a study needs nothing any more, under whatever profile."""
    place = located(home)
    folder = place.below(f"studies/{study}")
    for name in folder.names("plan-*.json"):
        folder.remove(name)
    note_plan(home, NotedPlan(study=study, profile="", source="", steps={}))


def _name(study: str, profile: str) -> str:
    return f"studies/{study}/" + (f"plan-{profile}.json" if profile else "plan.json")


def _read(place: Location, name: str) -> NotedPlan | None:
    text = place.read(name)
    if text is None:
        return None
    try:
        found = json.loads(text)
        if found["layout"] != _LAYOUT:
            raise ValueError(f"layout {found['layout']}, this version writes {_LAYOUT}")
        steps = {
            one[0]: NotedStep(one[0], one[1], one[2], tuple(one[3]), one[4], one[5])
            for one in found["steps"]
        }
        return NotedPlan(
            study=found["study"], profile=found["profile"], source=found["source"], steps=steps
        )
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise StoreError(
            f"{place.describe(name)}: not a noted plan: {error}",
            cure=f"remove it; the next `harness run` of {PurePath(name).parent.name} notes it again",
        ) from error
