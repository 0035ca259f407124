"""Leases as objects of a bucket.

Owns `BucketMarks`. The rule: the object of a lease, `<name>.<generation>`, is made by one conditional
request and never written again; its beat is an object beside it, `<name>.beat-<generation>`, so that a
holder which was given up cannot bring its lease back by a late beat. One listing tells all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from harness.execution.marks import Mark

if TYPE_CHECKING:
    from harness.execution.bucket import Bucket, Listed


class BucketMarks:
    """Marks in one part of a bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def all(self) -> dict[str, Mark]:
        """Return name -> its mark of the highest generation."""
        return self._marks(self._bucket.listing())

    def find(self, name: str) -> Mark | None:
        """Return the mark of the highest generation of a name."""
        return self._marks(self._bucket.listing(f"{name}.")).get(name)

    def newest(self, name: str) -> int | None:
        """Return the highest generation of a name."""
        return _generations(self._bucket.listing(f"{name}.")).get(name)

    def has(self, name: str, generation: int) -> bool:
        """Return whether there is a mark."""
        return self._bucket.has(f"{name}.{generation}")

    def create(self, name: str, generation: int, head: bytes) -> bool:
        """Make a mark, in one step; return False if it is there already."""
        return self._bucket.create(f"{name}.{generation}", head)

    def move(self, name: str, generation: int, count: int) -> None:
        """Change a mark's beat.

        Raises:
            FileNotFoundError: If the mark is gone.
        """
        if not self.has(name, generation):
            raise FileNotFoundError(self._bucket.describe(f"{name}.{generation}"))
        self._bucket.write(f"{name}.beat-{generation}", b"%020d\n" % count)

    def remove(self, name: str, generation: int) -> None:
        """Take a mark away, if it is there."""
        self._bucket.remove(f"{name}.{generation}")
        self._bucket.remove(f"{name}.beat-{generation}")

    def _marks(self, listing: dict[str, Listed]) -> dict[str, Mark]:
        newest = _generations(listing)
        objects = {name: f"{name}.{generation}" for name, generation in newest.items()}
        heads = self._bucket.read_listed(objects.values(), listing)
        return {
            name: Mark(
                generation=newest[name],
                head=heads[key],
                beat=_beat(listing, name, newest[name]),
                moved=listing.get(f"{name}.beat-{newest[name]}", listing[key]).modified,
            )
            for name, key in objects.items()
            if key in heads
        }


def _generations(names: Iterable[str]) -> dict[str, int]:
    newest: dict[str, int] = {}
    for each in names:
        name, _, generation = each.rpartition(".")
        if name and generation.isdigit():
            newest[name] = max(newest.get(name, 0), int(generation))
    return newest


def _beat(listing: Mapping[str, Listed], name: str, generation: int) -> bytes:
    beat = listing.get(f"{name}.beat-{generation}")
    return (listing[f"{name}.{generation}"].etag + (beat.etag if beat else "")).encode()
