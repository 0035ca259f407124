"""What a store holds that nobody needs.

Owns the finding and the removal of it. The rule: what a plan needs that the store has noted, or that
a run is to bring about, stays, with the last and the best checkpoint of what is not done; so does
whatever a living lease holds. Where it is unknown what is needed, nothing is removed.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.errors import StoreError
from harness.execution.noted import noted_plans, searched
from harness.execution.runs import Runs
from harness.execution.store import ArtifactStore

Kind = Literal["artifact", "partial", "cache"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """One thing that can go."""

    kind: Kind
    path: Path
    num_bytes: int
    step: str = ""
    """Fingerprint, of an artifact or a partial folder."""
    stage: str = ""
    """Of an artifact."""


def needed_steps(store: ArtifactStore, *, without: Collection[str] = ()) -> set[str]:
    """Return the fingerprints of the steps that must stay.

    Args:
        store: Whose.
        without: Studies that need nothing any more, but for what runs.

    Raises:
        StoreError: If it cannot be known: a study left records and no plan, or a step runs that is in no
            known plan.
    """
    needed: set[str] = set()
    studies = set(without)
    for plan in noted_plans(store.home):
        studies.add(plan.study)
        if plan.study not in without:
            needed |= plan.steps.keys()
    for run in Runs(store.home).living():
        needed |= run.steps
    needed |= _searched(store)
    unknown = sorted(
        path.parent.name
        for path in (store.home / "studies").glob("*/study.json")
        if path.parent.name not in studies
    )
    if unknown:
        raise StoreError(
            f"what these studies need is not noted: {', '.join(unknown)}",
            cure="`harness run STUDY` notes it; `harness gc --forget STUDY` gives a study's steps up",
        )
    if foreign := sorted(store.leases.living().keys() - needed):
        raise StoreError(
            f"a step of a plan that is not known here is running: {foreign[0][:12]}",
            cure="wait until it has ended: what it reads might be removed",
        )
    return needed


def _searched(store: ArtifactStore) -> set[str]:
    """Return what searches may need beyond what they noted: all that was made after they noted it."""
    found: set[str] = set()
    for folder in (store.home / "search").glob("*"):
        note = store.study_folder(searched(folder.name)) / "plan.json"
        since = note.stat().st_mtime if note.exists() else 0.0
        for stage, name in store.names():
            if store.folder(stage, name).stat().st_mtime >= since:
                found.add(name)
    return found


def find_garbage(
    store: ArtifactStore, needed: set[str], *, max_cache_bytes: int | None = None
) -> list[Garbage]:
    """Return what can go, artifacts first.

    Args:
        store: Where to look.
        needed: Fingerprints of the steps that must stay.
        max_cache_bytes: What the cache may hold; the segments that were unused for longest go.
    """
    found = [
        Garbage(
            kind="artifact",
            path=store.folder(stage, name),
            num_bytes=size_of(store.folder(stage, name)),
            step=name,
            stage=stage,
        )
        for stage, name in store.names()
        if name not in needed
    ]
    living = store.leases.living()
    done = {name for stage, name in store.names() if store.has(stage, name)}
    for path in sorted((store.home / "partial").glob("*")):
        step, _, token = path.name.partition("-")
        # Checkpoints of what is not done stay, the last and the best; what a lease that nobody holds was
        # writing when it ended goes.
        if step not in living and (token or step not in needed or step in done):
            found.append(_partial(path, step))
    if max_cache_bytes is not None and not living:
        found += _old_segments(store.home / "cache", max_cache_bytes)
    return found


def remove(store: ArtifactStore, garbage: Garbage) -> bool:
    """Remove one thing; return False if somebody holds it now."""
    if garbage.kind == "cache":
        garbage.path.unlink(missing_ok=True)
        return True
    lease = store.leases.acquire(garbage.step)
    if lease is None:
        return False
    with lease:
        if garbage.kind == "artifact":
            store.discard(garbage.stage, garbage.step)
            (store.home / "checked" / garbage.step).unlink(missing_ok=True)
        else:
            shutil.rmtree(garbage.path, ignore_errors=True)
    return True


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder, each once however many names it has there."""
    seen = {}
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            stat = path.lstat()
            if path.is_file():
                seen[stat.st_ino] = stat.st_size
    return sum(seen.values())


def _partial(path: Path, step: str) -> Garbage:
    return Garbage(kind="partial", path=path, num_bytes=size_of(path), step=step)


def _old_segments(folder: Path, max_bytes: int) -> Iterator[Garbage]:
    stats = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
    total = sum(stat.st_size for stat in stats.values())
    for path, stat in sorted(
        stats.items(), key=lambda one: (max(one[1].st_atime, one[1].st_mtime), one[0])
    ):
        if total <= max_bytes:
            return
        total -= stat.st_size
        yield Garbage(kind="cache", path=path, num_bytes=stat.st_size)
