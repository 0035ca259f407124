"""Scores of single queries, and the documents found for them, as Parquet.

Owns the two column sets and their files: `per_query.parquet` (one line a query and metric) and
`top.parquet` (the first hundred documents of a query). The rule: a task's reported score is the mean of
its lines, taken inside each split and subset first, so that nobody needs the model to test a difference.
Where a task has no queries but repeated experiments, a line is one experiment, and `unit` says so. What
differences mean is left to `harness.tables`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import RecordError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

Unit = Literal["query", "experiment"]

PER_QUERY_NAME = "per_query.parquet"
TOP_NAME = "top.parquet"
TOP_DEPTH = 100
"""Documents a query that are kept."""

_PART = 2**18
"""Lines that are read at once."""
_GROUP = 2**20
"""Lines that are written at once."""
_Owner = tuple[str, int | None, str]
"""Variant, seed and suite."""
_KEYS = ("task", "split", "subset")
_OWNER = ("variant", "seed", "suite")
_SCORE_COLUMNS = (*_KEYS, "unit", "metric", "query_id", "value")
_TOP_COLUMNS = (*_KEYS, "query_id", "rank", "document_id", "score")
PUBLISHED_EXTRAS = ("mrr_at_10", "recall_at_100")
"""Metrics beside the main one that go with a study's records."""


def _schema(columns: Sequence[str]) -> pa.Schema:
    import pyarrow as pa

    word = pa.dictionary(pa.int32(), pa.string())
    special = {"value": pa.float32(), "score": pa.float32(), "rank": pa.int16(), "seed": pa.int64()}
    return pa.schema([(name, special.get(name, word)) for name in columns])


def score_table(columns: Mapping[str, Sequence[Any]]) -> pa.Table:
    """Return per-query scores as an Arrow table.

    Args:
        columns: `task`, `split`, `subset`, `unit`, `metric`, `query_id` and `value`, of one length.
    """
    import pyarrow as pa

    return pa.table({name: columns[name] for name in _SCORE_COLUMNS}, schema=_schema(_SCORE_COLUMNS))


def top_table(columns: Mapping[str, Sequence[Any]]) -> pa.Table:
    """Return found documents as an Arrow table; `rank` counts from 1."""
    import pyarrow as pa

    return pa.table({name: columns[name] for name in _TOP_COLUMNS}, schema=_schema(_TOP_COLUMNS))


def add_to_file(path: Path, table: pa.Table) -> None:
    """Write `table` to `path`, beside the lines of other tasks that are there already.

    The file is replaced as a whole, so a reader never sees half of it.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    if not table.num_rows:
        return
    if path.exists():
        tasks = pa.array(table["task"].unique().to_pylist(), pa.string())
        before = _read(path)
        names = before["task"].cast(pa.string())
        kept = before.filter(pc.invert(pc.is_in(names, value_set=tasks)))
        table = pa.concat_tables([kept, table.select(before.column_names)]).unify_dictionaries()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    pq.write_table(table, temporary, compression="zstd")
    temporary.replace(path)


def owned(path: Path, *, metrics: Sequence[str], variant: str, seed: int | None, suite: str) -> pa.Table:
    """Return the lines of a step's file for `metrics`, with the model and the suite they belong to."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = _read(path)
    wanted = pc.is_in(table["metric"].cast(pa.string()), value_set=pa.array(metrics, pa.string()))
    return own_scores(table.filter(wanted), variant=variant, seed=seed, suite=suite)


def own_scores(table: pa.Table, *, variant: str, seed: int | None, suite: str) -> pa.Table:
    """Return per-query scores with the model and the suite that they belong to."""
    import pyarrow as pa

    values = {"variant": variant, "seed": seed, "suite": suite}
    schema = _schema((*_OWNER, *_SCORE_COLUMNS))
    for name in reversed(_OWNER):
        kind = schema.field(name).type
        column = pa.array([values[name]] * table.num_rows, pa.int64() if name == "seed" else pa.string())
        table = table.add_column(0, schema.field(name), column.cast(kind))
    return table


def write_study_scores(path: Path, tables: Sequence[pa.Table]) -> None:
    """Write the per-query scores of a whole study, sorted; an old file goes where there are none.

    Models are sorted one by one, and written by the million lines.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    groups = _by_owner(tables)
    if not groups:
        path.unlink(missing_ok=True)
        return
    schema = _schema((*_OWNER, *_SCORE_COLUMNS))
    order = [(name, "ascending") for name in schema.names if name != "value"]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        waiting: list[pa.Table] = []
        for owner in sorted(groups, key=_sorting):
            waiting.append(pa.concat_tables(groups.pop(owner)).cast(_plain(schema)).sort_by(order))
            if sum(one.num_rows for one in waiting) >= _GROUP or not groups:
                writer.write_table(pa.concat_tables(waiting).combine_chunks().cast(schema))
                waiting = []
    temporary.replace(path)


def _by_owner(tables: Sequence[pa.Table]) -> dict[_Owner, list[pa.Table]]:
    """Return the tables by the model and suite that they belong to, cut where they hold several."""
    import pyarrow.compute as pc

    found: dict[_Owner, list[pa.Table]] = {}
    for table in tables:
        names = table.select(_OWNER)
        names = names.cast(_plain(names.schema))
        owners = names.group_by(list(_OWNER)).aggregate([]).to_pylist()
        for owner in owners:
            part = table
            for name, value in owner.items() if len(owners) > 1 else ():
                column = part[name].cast(names.schema.field(name).type)
                same = pc.is_null(column) if value is None else pc.equal(column, value)
                part = part.filter(same)
            found.setdefault((owner["variant"], owner["seed"], owner["suite"]), []).append(part)
    return found


def _sorting(owner: _Owner) -> tuple[str, bool, int, str]:
    variant, seed, suite = owner
    return variant, seed is None, seed or 0, suite


def _plain(schema: pa.Schema) -> pa.Schema:
    """Return a schema with texts in place of dictionaries."""
    import pyarrow as pa

    return pa.schema(
        [
            (field.name, pa.string() if pa.types.is_dictionary(field.type) else field.type)
            for field in schema
        ]
    )


def read_study_scores(path: Path) -> pa.Table | None:
    """Return the per-query scores of a study; None where none were kept.

    Raises:
        RecordError: If the file is damaged or lacks a column.
    """
    if not path.is_file():
        return None
    with _opened(path) as file:
        _check_columns(file, path)
        return file.read()


def iterate_study_scores(path: Path) -> Iterator[pa.RecordBatch]:
    """Give the per-query scores of a study part by part, so that a large file is never held whole.

    Raises:
        RecordError: If the file is missing, damaged or lacks a column.
    """
    with _opened(path) as file:
        _check_columns(file, path)
        yield from file.iter_batches(batch_size=_PART)


def _check_columns(file: pq.ParquetFile, path: Path) -> None:
    lacking = [name for name in (*_OWNER, *_SCORE_COLUMNS) if name not in file.schema_arrow.names]
    if lacking:
        raise RecordError(
            f"{path}: no column {', '.join(lacking)}", cure="`harness run STUDY` writes it"
        )


def _read(path: Path) -> pa.Table:
    with _opened(path) as file:
        return file.read()


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file; not as a dataset, whose import takes a second and brings pandas.

    Raises:
        RecordError: If it is damaged, whether that shows at once or when it is read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (pa.ArrowInvalid, OSError) as error:
        raise RecordError(
            f"{path}: not a Parquet file: {error}", cure="`harness run STUDY` writes it"
        ) from error
