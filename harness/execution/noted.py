"""The plans of the studies that use a store, in brief.

Owns `studies/<name>/plan.json` (`plan-<profile>.json` under a profile): the steps that a study needs,
as it was when it last ran. The rule: it is written by whoever runs a study, and is enough to tell how
far the study has come, what a step is called and which artifacts are still needed, without the study's
files and without making the plan again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from harness.errors import StoreError
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


def note_plan(home: Path, plan: NotedPlan) -> None:
    """Write a plan in brief, in the place of the one that was noted before."""
    path = _path(home / "studies" / plan.study, plan.profile)
    lines = ",\n".join(json.dumps(step, ensure_ascii=False) for step in plan.steps.values())
    head = {
        "layout": _LAYOUT,
        "study": plan.study,
        "profile": plan.profile,
        "source": plan.source,
        "steps": [],
    }
    text = json.dumps(head, ensure_ascii=False).removesuffix("]}") + f"\n{lines}\n]}}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def note_more(home: Path, plan: NotedPlan) -> None:
    """Add steps to the plan that was noted before, for a driver that thinks of them one by one.

    The note keeps its time, which says since when steps may be needed that it does not name: of two
    drivers that add at once, one may be overheard.
    """
    path = _path(home / "studies" / plan.study, plan.profile)
    before = _read(path)
    since = path.stat().st_mtime_ns if before is not None else 0
    known = before.steps if before is not None else {}
    note_plan(home, replace(plan, steps={**known, **plan.steps}))
    os.utime(path, ns=(since, since))


def read_noted(home: Path, study: str, *, profile: str | None = None) -> NotedPlan | None:
    """Return the plan of a study that was noted last; None if none was.

    Raises:
        StoreError: If the file is damaged.
    """
    return _read(_path(home / "studies" / study, profile or ""))


def noted_plans(home: Path) -> Iterator[NotedPlan]:
    """Yield all plans that are noted in a store, by study.

    Raises:
        StoreError: If a file is damaged.
    """
    for path in sorted((home / "studies").glob("*/plan*.json")):
        if (plan := _read(path)) is not None:
            yield plan


def remove_note(home: Path, study: str) -> None:
    """Take a study's plan away, where it has left nothing else together with its folder."""
    path = _path(home / "studies" / study, "")
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        path.parent.rmdir()


def forget_plans(home: Path, study: str) -> None:
    """Note that a study needs nothing any more, under whatever profile."""
    for path in (home / "studies" / study).glob("plan-*.json"):
        path.unlink()
    note_plan(home, NotedPlan(study=study, profile="", source="", steps={}))


def _path(folder: Path, profile: str) -> Path:
    return folder / (f"plan-{profile}.json" if profile else "plan.json")


def _read(path: Path) -> NotedPlan | None:
    try:
        found = json.loads(path.read_bytes())
        if found["layout"] != _LAYOUT:
            raise ValueError(f"layout {found['layout']}, this version writes {_LAYOUT}")
        steps = {
            one[0]: NotedStep(one[0], one[1], one[2], tuple(one[3]), one[4], one[5])
            for one in found["steps"]
        }
        return NotedPlan(
            study=found["study"], profile=found["profile"], source=found["source"], steps=steps
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise StoreError(
            f"{path}: not a noted plan: {error}",
            cure=f"remove it; the next `harness run` of {path.parent.name} notes it again",
        ) from error
