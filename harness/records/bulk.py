"""Records in Parquet, beside their text.

Owns `records.parquet`, from which large tables read what `records.jsonl` says in a tenth of the time.
The rule: the text is the truth. The Parquet file carries the digest of the text that it was written
with, and is passed over where the text has changed since or where there is none.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.records.schema import COLUMNS, Record
from harness.records.store import merge, read_records

if TYPE_CHECKING:
    import pandas as pd

BULK_NAME = "records.parquet"
TEXT_NAME = "records.jsonl"
_DIGEST = b"harness.records.sha256"
_INTEGERS = ("seed", "num_queries", "tokens")
_FLOATS = ("value", "wall_seconds")
_NESTED = ("languages", "versions", "remarks")
"""Columns that are JSON text in the frame: a table needs them seldom, and as one value."""


TABLE_COLUMNS = (
    "variant",
    "revision",
    "seed",
    "task",
    "split",
    "subset",
    "metric",
    "value",
    "state",
    "reason",
    "source",
    "remarks",
)
"""What the tables of suites need."""


def to_bulk_frame(records: Sequence[Record], *, columns: Sequence[str] = COLUMNS) -> pd.DataFrame:
    """Return one line a record with columns of `Record`, all of them by default, nested ones as JSON."""
    import pandas as pd

    found: dict[str, object] = {}
    for name in columns:
        values = [getattr(record, name) for record in records]
        if name in _NESTED:
            found[name] = [json.dumps(value, ensure_ascii=False, sort_keys=True) for value in values]
        elif name in _INTEGERS:
            found[name] = pd.array(values, dtype="Int64")
        elif name in _FLOATS:
            found[name] = pd.array(values, dtype="Float64").to_numpy(float, na_value=float("nan"))
        else:
            found[name] = values
    return pd.DataFrame(found, columns=list(columns))


def write_bulk(folder: Path, records: Sequence[Record]) -> None:
    """Write `records.parquet` for the `records.jsonl` that lies in `folder`.

    Args:
        folder: Where the text has just been written.
        records: What it holds.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(to_bulk_frame(merge(records)), preserve_index=False)
    table = table.replace_schema_metadata(
        {**(table.schema.metadata or {}), _DIGEST: _digest(folder / TEXT_NAME)}
    )
    temporary = folder / f".{BULK_NAME}.{os.getpid()}.tmp"
    pq.write_table(table, temporary, compression="zstd")
    temporary.replace(folder / BULK_NAME)


def read_frame(folder: Path, *, columns: Sequence[str] = COLUMNS) -> pd.DataFrame:
    """Return the records of `folder` as `to_bulk_frame` gives them, from the faster of its two files.

    Args:
        folder: Where the records are.
        columns: Fields of `Record` to read.

    Raises:
        RecordError: If there is no `records.jsonl`, or it is damaged or contradicts itself.
    """
    bulk = folder / BULK_NAME
    if bulk.is_file() and (folder / TEXT_NAME).is_file():
        import pyarrow.parquet as pq

        with pq.ParquetFile(bulk) as file:
            if (file.schema_arrow.metadata or {}).get(_DIGEST) == _digest(folder / TEXT_NAME):
                frame: pd.DataFrame = file.read(columns=list(columns)).to_pandas()
                return frame
    return to_bulk_frame(read_records(folder / TEXT_NAME), columns=columns)


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().encode()
