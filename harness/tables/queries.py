"""Per-query scores, ready to be paired.

Owns `QueryScores`: who scored what on which query, from one or several studies' Parquet files. The
rule: two rows are paired query by query over exactly the same queries; where these differ nothing is
paired. A value is weighted so that the mean over all units is the task's score: the mean over splits
and subsets of the mean inside each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from harness.records.per_query import PER_QUERY_NAME, read_study_scores
from harness.records.summary import Member

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

_Key = tuple[int, str, int, str, str, str]
"""Source, variant, seed (-1 for none), suite, task, metric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """The scores of one model on one task, one a query or experiment."""

    unit: Literal["query", "experiment"]
    keys: IntArray
    """[n] Numbers of split, subset and query, ascending."""
    values: FloatArray
    """[n] Weighted scores, whose mean is the task's score."""

    def has_keys_of(self, other: Units) -> bool:
        """Return whether both are over the same queries."""
        import numpy as np

        return self.keys is other.keys or np.array_equal(self.keys, other.keys)


class QueryScores:
    """The per-query scores of some studies.

    Args:
        tables: One table a study, as `read_study_scores` gives it; None for a study without.
    """

    def __init__(self, tables: Sequence[pa.Table | None]) -> None:
        self._groups: dict[_Key, Units] = {}
        self._load(tables)

    def find(
        self, member: Member, *, suite: str, task: str, metric: str, source: int = 0
    ) -> Units | None:
        """Return the scores of one model on one task; None where they were not kept."""
        seed = -1 if member.seed is None else member.seed
        return self._groups.get((source, member.slug, seed, suite, task, metric))

    def matrix(
        self, members: Sequence[Member], *, suite: str, task: str, metric: str, source: int = 0
    ) -> tuple[Units, FloatArray] | None:
        """Return the units and the scores [members, n]; None unless all members have the same units."""
        import numpy as np

        found = [self.find(one, suite=suite, task=task, metric=metric, source=source) for one in members]
        whole = [one for one in found if one is not None]
        if not whole or len(whole) < len(found):
            return None
        if any(not np.array_equal(one.keys, whole[0].keys) for one in whole):
            return None
        return whole[0], np.stack([one.values for one in whole])

    def _load(self, tables: Sequence[pa.Table | None]) -> None:
        import numpy as np
        import pyarrow as pa

        parts = [
            table.append_column("source", pa.array(np.full(table.num_rows, number, dtype=np.int64)))
            for number, table in enumerate(tables)
            if table is not None and table.num_rows
        ]
        if not parts:
            return
        whole = pa.concat_tables(parts).unify_dictionaries().combine_chunks()
        columns = {name: _codes(whole[name]) for name in whole.column_names if name != "value"}
        values = whole["value"].to_numpy().astype(np.float64)
        owner = _number(columns, ("source", "variant", "seed", "suite", "task", "metric"))
        place = _number(columns, ("split", "subset"))
        keys = place * (int(columns["query_id"][0].max()) + 1) + columns["query_id"][0]
        order = np.lexsort((keys, owner))
        starts = np.flatnonzero(np.diff(owner[order], prepend=-1))
        for chosen in np.split(order, starts[1:]):
            first = int(chosen[0])
            names = {name: columns[name][1](int(columns[name][0][first])) for name in _NAMES}
            key = cast("_Key", tuple(names[name] for name in _NAMES[:-1]))
            self._groups[key] = Units(
                unit=names["unit"], keys=keys[chosen], values=_weighted(values[chosen], place[chosen])
            )


_NAMES = ("source", "variant", "seed", "suite", "task", "metric", "unit")


def read_queries(*folders: Path) -> QueryScores | None:
    """Return the per-query scores of the studies in `folders`, one source each; None where none has any.

    Raises:
        RecordError: If a file is damaged.
    """
    paths = [folder / PER_QUERY_NAME for folder in folders]
    # Arrow takes a while to load, which a study without such a file need not wait for.
    if not any(path.is_file() for path in paths):
        return None
    return QueryScores([read_study_scores(path) for path in paths])


def _codes(column: Any) -> tuple[IntArray, Any]:
    """Return a column as small numbers, and what gives the value behind a number."""
    import numpy as np
    import pyarrow as pa

    chunk = column.combine_chunks()
    if isinstance(chunk, pa.ChunkedArray):
        chunk = chunk.chunk(0)
    if pa.types.is_dictionary(chunk.type):
        names = chunk.dictionary.to_pylist()
        return chunk.indices.to_numpy(zero_copy_only=False).astype(np.int64), names.__getitem__
    numbers = chunk.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    # Shifted, so that a missing seed has a number that counts from zero.
    return numbers + 1, lambda number: number - 1


def _number(columns: dict[str, tuple[IntArray, Any]], names: Sequence[str]) -> IntArray:
    """Return one number for each combination of values."""
    total = columns[names[0]][0]
    for name in names[1:]:
        codes = columns[name][0]
        total = total * (int(codes.max()) + 1) + codes
    return total


def _weighted(values: FloatArray, place: IntArray) -> FloatArray:
    """Return the values so that their plain mean is the mean over places of the means inside."""
    import numpy as np

    _, inverse, counts = np.unique(place, return_inverse=True, return_counts=True)
    if len(counts) == 1:
        return values
    return values * (len(values) / (len(counts) * counts[inverse]))
