"""Per-query scores for the fake study: made so that their means are the study's records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from harness.records.per_query import owned, score_table, write_study_scores
from harness.records.schema import Record


def make_tables(records: Sequence[Record], folder: Path, *, num: int = 40) -> list[pa.Table]:
    """Return one table a retrieval record, with `num` queries that all models find about as hard."""
    place = folder / "one.parquet"
    tables = []
    hardness = np.random.default_rng(5).normal(0, 0.1, size=num)
    for number, record in enumerate(records):
        if record.value is None or not record.is_main or record.task_type != "Retrieval":
            continue
        noise = np.random.default_rng(number).normal(0, 0.01, size=num)
        values = record.value + (hardness - hardness.mean()) + (noise - noise.mean())
        columns = {name: [getattr(record, name)] * num for name in ("task", "split", "subset", "metric")}
        columns |= {
            "unit": ["query"] * num,
            "query_id": [f"q{n:03d}" for n in range(num)],
            "value": list(values),
        }
        pq.write_table(score_table(columns), place)
        tables.append(
            owned(
                place,
                metrics=[record.metric],
                variant=record.variant,
                seed=record.seed,
                suite=record.suite,
            )
        )
    return tables


def write_per_query(records: Sequence[Record], folder: Path) -> None:
    """Write `per_query.parquet` for the fake study's records into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = make_tables(records, folder)
    (folder / "one.parquet").unlink()
    write_study_scores(folder / "per_query.parquet", tables)
