"""Results that were made elsewhere, as records.

Owns what an import does to the records that are already there. The rule: importing the same folder again
changes nothing; a file that is gone takes its records with it; a number that has changed is refused with
both shown, unless the new one was asked for. What a file says is left to `mteb_records` and `trec`.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from harness.errors import RecordError
from harness.records.bulk import BULK_NAME, write_bulk
from harness.records.layout import Place, find_places
from harness.records.mteb_records import mark_partial_aggregates, records_of, unread
from harness.records.per_query import (
    PER_QUERY_NAME,
    own_scores,
    read_study_scores,
    write_study_scores,
)
from harness.records.schema import Record, Remark
from harness.records.store import MergedRecords, merge, read_records, write_records

if TYPE_CHECKING:
    import pyarrow as pa

RECORDS_NAME = "records.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """What an import found and did."""

    records: tuple[Record, ...]
    """All records of the folder that was written to, after the import."""
    num_files: int
    num_new: int
    """Measurements that were not there before."""
    gone: tuple[str, ...]
    """Files of an earlier import of the same name that are no longer there; their records went too."""


def read_mteb_folder(folder: Path, *, name: str | None = None) -> tuple[MergedRecords, int]:
    """Return the records of all mteb result files below `folder`, and how many files there are.

    Args:
        folder: A results folder, one above it, a model's folder or a revision's.
        name: What the import is called in the records' sources.

    Raises:
        RecordError: If there is no result file, or two of them contradict each other.
    """
    if not folder.is_dir():
        raise RecordError(f"{folder}: no such folder", cure="give a folder of result files")
    places = find_places(folder, name=name)
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for place in places:
        # Snapshots of one model are folders of their own: an aggregate belongs to its neighbours.
        group = groups.setdefault((_parent(place), place.model, place.revision), [])
        group.extend(_read(place))
    return merge(*(mark_partial_aggregates(group) for group in groups.values())), len(places)


def _read(place: Place) -> list[Record]:
    """Return the records of one file, or the one that says why it cannot be opened."""
    try:
        if not place.path.is_file() and place.path.exists():
            # A pipe or a device may never end.
            raise OSError(errno.EINVAL, "not a plain file")
        content = place.path.read_bytes()
    except OSError as error:
        return [unread(place, error)]
    return records_of(place, content)


def store_records(
    records: Sequence[Record],
    folder: Path,
    *,
    num_files: int,
    per_query: Sequence[tuple[str, pa.Table]] = (),
    is_replacing: bool = False,
    report: Callable[[str], None] = lambda _: None,
) -> Import:
    """Add imported records to those in `folder` and write `records.jsonl` and its Parquet twin.

    Args:
        records: Of one import, with sources that begin with its name.
        folder: Where the records are kept; made if it is not there.
        num_files: How many files the import read.
        per_query: Model and its scores by query, for those that the import computed.
        is_replacing: Take the new value where a file's number has changed.
        report: Told what was dropped.

    Raises:
        RecordError: If a number contradicts one that is there; nothing is written then.
    """
    path = folder / RECORDS_NAME
    before = list(read_records(path)) if path.is_file() else []
    kept, dropped = _set_aside(before, records)
    if not is_replacing:
        _refuse_changes(dropped, records)
    after = mark_duplicates(merge(kept, (structs.replace(one, remarks=_plain(one)) for one in records)))
    present = {one.source for one in after}
    gone = tuple(sorted({one.source for one in dropped} - present))
    for source in gone:
        report(f"{source}: no longer there; its records were dropped")
    known = {one.key for one in before}
    if after != before or not (folder / BULK_NAME).is_file():
        write_records(path, after)
        write_bulk(folder, after)
    if per_query:
        _store_queries(folder / PER_QUERY_NAME, per_query)
    return Import(
        records=tuple(after),
        num_files=num_files,
        num_new=sum(one.key not in known for one in after),
        gone=gone,
    )


def _store_queries(path: Path, per_query: Sequence[tuple[str, pa.Table]]) -> None:
    """Write scores by query beside those of other models and tasks that are there already."""
    import pyarrow as pa
    import pyarrow.compute as pc

    before = read_study_scores(path)
    tables = [own_scores(table, variant=model, seed=None, suite="") for model, table in per_query]
    if before is not None:
        for table in tables:
            same = pc.and_(
                pc.equal(before["variant"].cast(pa.string()), table["variant"][0].as_py()),
                pc.equal(before["task"].cast(pa.string()), table["task"][0].as_py()),
            )
            before = before.filter(pc.invert(same))
        tables = [before, *tables]
    write_study_scores(path, tables)


def mark_duplicates(records: Iterable[Record]) -> list[Record]:
    """Return the records, each remarked on whose model has the same measurement in another revision."""
    records = list(records)
    revisions: dict[tuple[object, ...], set[str]] = {}
    for record in records:
        if record.state == "ok" and not record.suite:
            revisions.setdefault(_measurement(record), set()).add(record.revision)
    marked = []
    for record in records:
        remarks = _plain(record)
        if len(revisions.get(_measurement(record), ())) > 1 and record.state == "ok":
            remarks = (*remarks, "duplicate_revision")
        marked.append(record if remarks == record.remarks else structs.replace(record, remarks=remarks))
    return marked


def _plain(record: Record) -> tuple[Remark, ...]:
    """Return the remarks that a record has by itself, whatever others are there."""
    return tuple(one for one in record.remarks if one != "duplicate_revision")


def _measurement(record: Record) -> tuple[object, ...]:
    return (record.variant, record.seed, record.task, record.split, record.subset, record.metric)


def _set_aside(before: Sequence[Record], records: Sequence[Record]) -> tuple[list[Record], list[Record]]:
    """Return the earlier records that stay as they are, and those that this import speaks for.

    An import speaks for every folder from which it has read a file.
    """
    folders = {_folder(one.source) for one in records}
    kept = [one for one in before if _folder(one.source) not in folders]
    dropped = [one for one in before if _folder(one.source) in folders]
    return kept, dropped


def _refuse_changes(dropped: Iterable[Record], records: Iterable[Record]) -> None:
    values = {one.key: one for one in dropped if one.state == "ok"}
    same = [values[one.key] for one in records if one.key in values and one.state == "ok"]
    try:
        merge((structs.replace(one, remarks=_plain(one)) for one in same), records)
    except RecordError as error:
        raise RecordError(
            error.message, cure="look at the two files; --replace takes the new value"
        ) from error


def _folder(source: str) -> str:
    return source.rpartition("/")[0]


def _parent(place: Place) -> str:
    return str(place.path.parent)
