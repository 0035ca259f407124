"""`harness gc`: remove what no study needs any more."""

from __future__ import annotations

import sys
from collections import defaultdict
from typing import Annotated

import typer

from harness.cli.options import HomeOption, JsonOption, print_json
from harness.execution.garbage import Garbage, find_garbage, needed_steps, remove
from harness.execution.homes import open_store
from harness.execution.noted import forget_plans

_GIB = 1 << 30
_MIB = 1 << 20
_MAX_SHOWN = 20


def command(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would go, and stop.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask on a terminal.")] = False,
    forget: Annotated[
        list[str] | None,
        typer.Option("--forget", metavar="STUDY", help="Give up what this study alone needs."),
    ] = None,
    max_cache_gib: Annotated[
        float | None,
        typer.Option(
            "--max-cache-gib",
            min=0,
            metavar="GIB",
            help="Also remove the oldest cached embeddings above this size.",
        ),
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Remove artifacts and leftovers that no study of the store needs; sizes are shown first.

    A study needs the steps that it had when it last ran: what an edit took out of it goes. Checkpoints
    of steps that are not done stay, the last and the best. Nothing goes that a run is working on.

    Examples: `harness gc --dry-run`, `harness gc --forget old-study --max-cache-gib 20`
    """
    store = open_store(home)
    needed = needed_steps(store, without=forget or ())
    limit = None if max_cache_gib is None else int(max_cache_gib * _GIB)
    found = find_garbage(store, needed, max_cache_bytes=limit)
    total = sum(one.num_bytes for one in found)
    if json:
        print_json({"removed": not dry_run, "bytes": total, "items": [_as_json(one) for one in found]})
    else:
        _show(found, total)
    if dry_run or (not found and not forget):
        return
    if sys.stdin.isatty() and not yes and not json:
        typer.confirm("remove it?", abort=True, err=True)
    for study in forget or ():
        forget_plans(store.location, study)
    # Who began a run meanwhile may need something after all.
    still = needed_steps(store)
    held = [one for one in found if one.step in still - needed or not remove(store, one)]
    for one in held:
        sys.stderr.write(f"left, since it is in use: {one.place}\n")


def _show(found: list[Garbage], total: int) -> None:
    groups: dict[str, list[Garbage]] = defaultdict(list)
    for one in found:
        groups[one.stage or one.kind].append(one)
    for name, group in groups.items():
        for one in sorted(group, key=lambda each: -each.num_bytes)[:_MAX_SHOWN]:
            sys.stdout.write(f"{_size(one.num_bytes):>10}  {one.place}\n")
        if len(group) > _MAX_SHOWN:
            sys.stdout.write(f"{'':>10}  and {len(group) - _MAX_SHOWN} more of {name}\n")
    sys.stdout.write(f"{_size(total):>10}  in {len(found)} places that no study needs\n")


def _size(num_bytes: int) -> str:
    return f"{num_bytes / _GIB:.1f} GiB" if num_bytes >= _GIB else f"{num_bytes / _MIB:.1f} MiB"


def _as_json(one: Garbage) -> dict[str, object]:
    return {"kind": one.kind, "path": one.place, "bytes": one.num_bytes, "step": one.step}
