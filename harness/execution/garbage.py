"""What a store holds that nobody needs.

Owns the finding and the removal of it. The rule: what a plan needs that the store has noted, or that
a run is to bring about, stays, with the last and the best checkpoint of what is not done; so does
whatever a living lease holds. Where it is unknown what is needed, nothing is removed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
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
    place: str
    """Where it is, for people; the file's path, of a part of the cache."""
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
    for plan in noted_plans(store.location):
        studies.add(plan.study)
        if plan.study not in without:
            needed |= plan.steps.keys()
    for run in Runs(store.location).living():
        needed |= run.steps
    needed |= _searched(store)
    unknown = sorted(
        name
        for path in store.location.names("studies/*/study.json")
        if (name := PurePath(path).parent.name) not in studies
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
            place=store.location.describe(f"artifacts/{stage}/{name}"),
            num_bytes=store.num_bytes(stage, name),
            step=name,
            stage=stage,
        )
        for stage, name in store.names()
        if name not in needed
    ]
    living = store.leases.living()
    done = {name for stage, name in store.names() if store.has(stage, name)}
    for partial, num_bytes in store.partials().items():
        step, _, token = partial.partition("-")
        # Checkpoints of what is not done stay, the last and the best; what a lease that nobody holds was
        # writing when it ended goes.
        if step not in living and (token or step not in needed or step in done):
            place = store.location.describe(f"partial/{partial}")
            found.append(Garbage(kind="partial", place=place, num_bytes=num_bytes, step=step))
    if max_cache_bytes is not None and not living:
        found += _old_segments(store.home / "cache", max_cache_bytes)
    return found


def remove(store: ArtifactStore, garbage: Garbage) -> bool:
    """Remove one thing; return False if somebody holds it now."""
    if garbage.kind == "cache":
        Path(garbage.place).unlink(missing_ok=True)
        return True
    lease = store.leases.acquire(garbage.step)
    if lease is None:
        return False
    with lease:
        if garbage.kind == "artifact":
            store.discard(garbage.stage, garbage.step)
            (store.home / "checked" / garbage.step).unlink(missing_ok=True)
        else:
            store.drop_partial(PurePath(garbage.place).name)
    return True


def _old_segments(folder: Path, max_bytes: int) -> Iterator[Garbage]:
    stats = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
    total = sum(stat.st_size for stat in stats.values())
    for path, stat in sorted(
        stats.items(), key=lambda one: (max(one[1].st_atime, one[1].st_mtime), one[0])
    ):
        if total <= max_bytes:
            return
        total -= stat.st_size
        yield Garbage(kind="cache", place=str(path), num_bytes=stat.st_size)
