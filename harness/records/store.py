"""Records on disk: one JSON line each, sorted, so that two versions of a file can be compared by eye.

Owns reading, writing and merging of `records.jsonl` and its long pandas frame. The rule: the bytes
depend on the set of records and not on their order, and nothing contradictory is ever kept: two
values for one measurement raise with both shown. What a record means is left to `schema`.
"""

from __future__ import annotations

import itertools
import json
import math
import operator
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from harness.errors import RecordError
from harness.records.collector import without_collector
from harness.records.schema import COLUMNS, Record, broad_state

if TYPE_CHECKING:
    import pandas as pd

_MEASURED = ("value", "revision", "prompt_hash", "dataset_revision", "higher_is_better", "num_queries")
"""Fields that must agree where two records hold a value for one key."""

_AT_ONCE = 2000
"""Lines that are parsed together."""

_DECODER = msgspec.json.Decoder(Record)
_STATE_RANK = {"ok": 3, "not_applicable": 2, "failed": 1, "missing": 0}
"""A value replaces an earlier failure, and a failure says more than an absence."""


class MergedRecords(tuple[Record, ...]):
    """Records in key order, each key once; made by `merge` alone, which need not merge them again."""

    __slots__ = ()


def merge(*collections: Iterable[Record]) -> MergedRecords:
    """Return the records of all `collections` in key order, each key once.

    Records that hold the same measurement collapse into one, whatever they say of wall time or place;
    a record with a value takes the place of one that says `failed` or `missing`. The result does not
    depend on any order, and merging it again changes nothing.

    Raises:
        RecordError: If two records contradict each other; the message shows both.
    """
    if len(collections) == 1 and isinstance(collections[0], MergedRecords):
        return collections[0]
    records = list(itertools.chain(*collections))
    for record in records:
        check_record(record)
    return _merge_sound(records)


def _merge_sound(records: list[Record]) -> MergedRecords:
    """Return records whose states and values fit together as `merge` does."""
    keys = [record.key for record in records]
    if all(map(operator.lt, keys, keys[1:])):
        return MergedRecords(records)
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for key, record in zip(keys, records, strict=True):
        groups.setdefault(key, []).append(record)
    return MergedRecords([_resolve(groups[key]) for key in sorted(groups)])


def _is_sound(record: Record) -> bool:
    """Return whether state and value fit together."""
    if record.state == "ok":
        return record.value is not None and math.isfinite(record.value)
    return record.value is None


def check_record(record: Record, *, where: str = "") -> None:
    """Refuse a record whose state and value do not fit together.

    Raises:
        RecordError: If an `ok` record has no finite value, or another state has one.
    """
    if not _is_sound(record):
        prefix = f"{where}: " if where else ""
        raise RecordError(
            f"{prefix}{_name(record)}: state {record.state!r} with the value {record.value}"
        )


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write `records` to `path` as sorted JSON lines, whole or not at all.

    Raises:
        RecordError: If two records contradict each other.
    """
    lines = record_lines(records)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def dump_records(records: Iterable[Record], *, without: Sequence[str] = ()) -> str:
    """Return the text of a `records.jsonl` that holds `records`.

    Args:
        records: In any order.
        without: Fields to leave empty.

    Raises:
        RecordError: If two records contradict each other.
    """
    return "".join(record_lines(records, without=without))


def record_lines(records: Iterable[Record], *, without: Sequence[str] = ()) -> Iterator[str]:
    """Return the lines of `dump_records` one by one: all of them may be a hundred megabytes.

    Raises:
        RecordError: If two records contradict each other.
    """
    return (_line(record, without) + "\n" for record in merge(records))


def read_records(path: Path) -> MergedRecords:
    """Return the records of a `records.jsonl`, in key order.

    Raises:
        RecordError: If the file is missing, a line is not a record (the message names file, line and
            field), or two lines contradict each other.
    """
    try:
        with path.open("rb") as file, without_collector():
            return _merge_sound(list(_parse(path, file)))
    except FileNotFoundError as error:
        raise RecordError(f"{path}: no such file", cure="harness run STUDY writes it") from error
    except UnicodeDecodeError as error:
        raise RecordError(f"{path}: not UTF-8 text: {error}") from error


def to_frame(records: Iterable[Record]) -> pd.DataFrame:
    """Return one line a record with a column for each field of `Record`, in key order.

    Raises:
        RecordError: If two records contradict each other.
    """
    import pandas as pd  # Half a second that a table in the terminal need not wait for.

    frame = pd.DataFrame([msgspec.structs.asdict(one) for one in merge(records)], columns=list(COLUMNS))
    return frame.astype({"seed": "Int64", "num_queries": "Int64", "tokens": "Int64", "value": "float64"})


def _parse(path: Path, file: Iterator[bytes]) -> Iterator[Record]:
    number = 1
    while lines := list(itertools.islice(file, _AT_ONCE)):
        yield from _parse_together(lines) or _parse_singly(path, lines, number)
        number += len(lines)


def _parse_together(lines: Sequence[bytes]) -> list[Record]:
    """Return the record of each line; nothing where any line is in doubt."""
    try:
        records = _DECODER.decode_lines(b"".join(lines))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []
    return records if all(map(_is_sound, records)) else []


def _parse_singly(path: Path, lines: Sequence[bytes], first: int) -> Iterator[Record]:
    """Give the record of each line, and say which line is none."""
    for number, line in enumerate(lines, start=first):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            record = _DECODER.decode(line)
        except msgspec.DecodeError as error:
            raise RecordError(f"{where}: not a record: {error}") from error
        check_record(record, where=where)
        yield record


def _line(record: Record, without: Sequence[str] = ()) -> str:
    # Not asdict, which copies every value and takes ten times as long.
    values = dict(zip(COLUMNS, _VALUES(record), strict=True))
    values["versions"] = dict(sorted(record.versions.items()))
    values |= dict.fromkeys(without)
    return _ENCODER.encode(values)


_VALUES = operator.attrgetter(*COLUMNS)
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def _resolve(group: list[Record]) -> Record:
    """Return the one record that stands for all of `group`, which share a key."""
    if len(group) == 1:
        return group[0]
    states = {record.state for record in group}
    if {"ok", "not_applicable"} <= states:
        _refuse(
            next(record for record in group if record.state == "ok"),
            next(record for record in group if record.state == "not_applicable"),
        )
    top = max(_rank(record) for record in group)
    ranked = sorted((record for record in group if _rank(record) == top), key=_line)
    kept = ranked[0]
    for other in ranked[1:]:
        if kept.state == "ok" and any(getattr(kept, name) != getattr(other, name) for name in _MEASURED):
            _refuse(kept, other)
    return kept


def _rank(record: Record) -> int:
    return _STATE_RANK[broad_state(record.state)]


def _refuse(first: Record, second: Record) -> None:
    fields = ("state", *_MEASURED, "evaluator", "source")
    differing = [name for name in fields if getattr(first, name) != getattr(second, name)]
    sides = [
        ", ".join(f"{name}={getattr(record, name)!r}" for name in differing)
        for record in (first, second)
    ]
    raise RecordError(
        f"two records of {_name(first)} contradict each other:\n  {sides[0]}\n  {sides[1]}",
        cure="keep one of them: remove the other line, or measure again with `harness run STUDY`",
    )


def _name(record: Record) -> str:
    seed = "" if record.seed is None else f" seed {record.seed}"
    return (
        f"{record.variant}{seed}, {record.suite}/{record.task} "
        f"({record.split}, {record.subset}, {record.metric})"
    )
