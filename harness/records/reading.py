"""A folder of somebody's results, of whichever kind.

Owns the choice between mteb's result files and run files, and the default name of an import. The rule:
both kinds may lie in one folder, and one in which there is neither is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import RecordError
from harness.records.importing import read_mteb_folder
from harness.records.layout import import_name
from harness.records.per_query import score_table
from harness.records.run_files import ScoredRun, find_runs, score_file
from harness.records.schema import Record
from harness.records.store import merge

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What a folder held."""

    name: str
    """What the import is called: the first part of every source."""
    records: tuple[Record, ...]
    num_files: int
    per_query: tuple[tuple[str, pa.Table], ...]
    """Model and its scores by query, for those that were computed here."""


def read_folder(folder: Path, *, name: str | None = None, qrels: Path | None = None) -> Read:
    """Return the records of everything below `folder`.

    Args:
        folder: Of mteb result files, of run files, or of both.
        name: What the import is called; by default the folder above the models.
        qrels: A file or folder of judgements for runs.

    Raises:
        RecordError: If there is nothing to read, or two results contradict each other.
    """
    if not folder.is_dir():
        raise RecordError(f"{folder}: no such folder", cure="give a folder of result files")
    named = name or import_name(folder)
    scored = [score_file(run) for run in find_runs(folder, name=named, qrels=qrels)]
    # With judgements given, JSON files are runs.
    records, num_files = ([], 0) if qrels is not None else read_mteb_folder(folder, name=named)
    if not records and not scored:
        raise RecordError(
            f"{folder}: no result files of mteb and no runs",
            cure="mteb's are <model>/<revision>/<Task>.json; runs are <model>/<Task>.run beside qrels/",
        )
    return Read(
        name=named,
        records=tuple(merge(records, *(one.records for one in scored))),
        num_files=num_files + len(scored),
        per_query=tuple((one.run.model, _by_query(one)) for one in scored if one.scores is not None),
    )


def _by_query(scored: ScoredRun) -> pa.Table:
    scores = scored.scores
    lines: Sequence[tuple[str, str, float]] = [
        (metric, query, value)
        for metric, by_query in (scores.by_query.items() if scores else ())
        for query, value in by_query.items()
    ]
    count = len(lines)
    return score_table(
        {
            "task": [scored.run.task] * count,
            "split": [scored.run.split] * count,
            "subset": ["default"] * count,
            "unit": ["query"] * count,
            "metric": [line[0] for line in lines],
            "query_id": [line[1] for line in lines],
            "value": [line[2] for line in lines],
        }
    )
