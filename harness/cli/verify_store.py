"""`harness verify --artifacts`: every file of a store against its checksum."""

from __future__ import annotations

import sys
from dataclasses import asdict

import typer

from harness.cli.options import print_json
from harness.execution.integrity import Damage, damaged, discard_damaged
from harness.execution.store import ArtifactStore


def verify_store(store: ArtifactStore, *, repair: bool, as_json: bool) -> None:
    """Check a store, and name what is damaged.

    Raises:
        typer.Exit: With code 1 if something is damaged, also if it was removed.
    """
    found: list[Damage] = []
    num_whole = 0
    for damage in damaged(store):
        if damage is None:
            num_whole += 1
            continue
        found.append(damage)
        if not as_json:
            sys.stdout.write(f"damaged  {damage.stage}-{damage.name[:12]}  {damage.message}\n")
        if repair:
            discard_damaged(store, damage.stage, damage.name)
    there = store.touched({one.stage for one in found})
    left = [one for one in found if one.name in there]
    if as_json:
        print_json(
            {
                "num_whole": num_whole,
                "damaged": [asdict(one) for one in found],
                "num_removed": len(found) - len(left),
            }
        )
    else:
        sys.stderr.write(f"{num_whole} artifacts are whole, {len(found)} damaged\n")
    if not found:
        return
    if not as_json:
        sys.stderr.write(_cure(num_removed=len(found) - len(left), num_left=len(left), repair=repair))
    raise typer.Exit(1)


def _cure(*, num_removed: int, num_left: int, repair: bool) -> str:
    if not repair:
        return (
            "`harness verify --artifacts --repair` removes what is damaged; the next `harness run` that "
            "needs it makes it anew, with or without that\n"
        )
    held = f"; {num_left} are being made anew by a run" if num_left else ""
    return f"{num_removed} removed{held}: the next `harness run` that needs them makes them anew\n"
