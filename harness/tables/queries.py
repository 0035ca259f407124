"""Per-query scores, ready to be paired.

Owns `QueryScores`: who scored what on which query, from one or several studies' Parquet files. The
rule: two rows are paired query by query over exactly the same queries; where these differ nothing is
paired. A value is weighted so that the mean over all units is the task's score: the mean over splits
and subsets of the mean inside each. A file is read in parts, and a line of it takes four bytes here:
models that were asked the same queries share the list of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness.records.per_query import PER_QUERY_NAME, iterate_study_scores
from harness.records.summary import Member

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

Unit = Literal["query", "experiment"]

_Key = tuple[int, str, int, str, str, str]
"""Source, variant, seed (-1 for none), suite, task, metric."""
_OWNER = ("variant", "seed", "suite", "task", "metric")
_PLACE = ("split", "subset")
_QUERY_BITS, _SUBSET_BITS = 32, 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """The scores of one model on one task, one a query or experiment."""

    unit: Unit
    keys: IntArray
    """[n] Numbers of split, subset and query, ascending."""
    values: FloatArray
    """[n] Weighted scores, whose mean is the task's score."""

    def has_keys_of(self, other: Units) -> bool:
        """Return whether both are over the same queries."""
        import numpy as np

        return self.keys is other.keys or np.array_equal(self.keys, other.keys)


@dataclass(slots=True)
class _Found:
    """The lines of one model on one task and metric, as they were read."""

    unit: Unit
    keys: list[IntArray]
    values: list[npt.NDArray[np.float32]]


class QueryScores:
    """The per-query scores of some studies.

    Args:
        parts: Tables of per-query scores, each with the number of the study that it is of.
    """

    def __init__(self, parts: Iterable[tuple[int, pa.Table | pa.RecordBatch]]) -> None:
        self._found: dict[_Key, _Found] = {}
        self._known_keys: dict[bytes, IntArray] = {}
        self._orders: dict[int, tuple[IntArray, IntArray] | None] = {}
        self._numbers: dict[str, dict[str, int]] = {name: {} for name in (*_PLACE, "query_id")}
        for source, part in parts:
            self._add(source, part)

    def find(
        self, member: Member, *, suite: str, task: str, metric: str, source: int = 0
    ) -> Units | None:
        """Return the scores of one model on one task; None where they were not kept."""
        import numpy as np

        seed = -1 if member.seed is None else member.seed
        found = self._found.get((source, member.slug, seed, suite, task, metric))
        if found is None:
            return None
        if len(found.keys) > 1:
            found.keys = [self._share(np.concatenate(found.keys))]
            found.values = [np.concatenate(found.values)]
        (keys,), (values,) = found.keys, found.values
        order = self._order(keys)
        if order is not None:
            keys, values = order[0], values[order[1]]
        return Units(unit=found.unit, keys=keys, values=_weighted(values, keys >> _QUERY_BITS))

    def matrix(
        self, members: Sequence[Member], *, suite: str, task: str, metric: str, source: int = 0
    ) -> tuple[Units, FloatArray] | None:
        """Return the units and the scores [members, n]; None unless all members have the same units."""
        import numpy as np

        found = [self.find(one, suite=suite, task=task, metric=metric, source=source) for one in members]
        whole = [one for one in found if one is not None]
        if not whole or len(whole) < len(found):
            return None
        if not all(one.has_keys_of(whole[0]) for one in whole):
            return None
        return whole[0], np.stack([one.values for one in whole])

    def _add(self, source: int, part: pa.Table | pa.RecordBatch) -> None:
        """Take over the lines of a table, cut where another model, task, metric or part of it begins."""
        import numpy as np

        if not part.num_rows:
            return
        codes, names = {}, {}
        for name in (*_OWNER, *_PLACE, "unit", "query_id"):
            codes[name], names[name] = _codes(part[name])
        keys = (self._renumbered("split", codes, names) << _SUBSET_BITS) + self._renumbered(
            "subset", codes, names
        )
        keys = (keys << _QUERY_BITS) + self._renumbered("query_id", codes, names)
        values = _numbers(_chunk(part["value"])).astype(np.float32)
        changes = np.zeros(part.num_rows, dtype=bool)
        changes[0] = True
        for name in (*_OWNER, *_PLACE, "unit"):
            changes[1:] |= np.diff(codes[name]) != 0
        starts = np.flatnonzero(changes)
        for start, end in zip(starts.tolist(), [*starts[1:].tolist(), part.num_rows], strict=True):
            told: dict[str, Any] = {name: names[name][codes[name][start]] for name in (*_OWNER, "unit")}
            seed = -1 if told["seed"] is None else told["seed"]
            key = (source, told["variant"], seed, told["suite"], told["task"], told["metric"])
            found = self._found.setdefault(key, _Found(told["unit"], [], []))
            found.keys.append(self._share(keys[start:end]))
            found.values.append(values[start:end])

    def _renumbered(
        self, column: str, codes: dict[str, IntArray], names: dict[str, list[Any]]
    ) -> IntArray:
        """Return a column's codes as numbers that all parts share."""
        import numpy as np

        numbers = self._numbers[column]
        own = [numbers.setdefault(one, len(numbers)) for one in names[column]]
        return np.array(own, dtype=np.int64)[codes[column]]

    def _order(self, keys: IntArray) -> tuple[IntArray, IntArray] | None:
        """Return shared keys in ascending order, and what puts them so; None where they are."""
        import numpy as np

        place = id(keys)
        if place not in self._orders:
            order = None
            if not (keys[1:] > keys[:-1]).all():
                order = np.argsort(keys, kind="stable")
            self._orders[place] = None if order is None else (self._share(keys[order]), order)
        return self._orders[place]

    def _share(self, keys: IntArray) -> IntArray:
        """Return the one array that stands for all with these keys."""
        name = keys.tobytes()
        if name not in self._known_keys:
            # A copy, since these may be a few out of a whole part's.
            self._known_keys[name] = keys.copy()
        return self._known_keys[name]


def read_queries(*folders: Path) -> QueryScores | None:
    """Return the per-query scores of the studies in `folders`, one source each; None where none has any.

    Raises:
        RecordError: If a file is damaged.
    """
    paths = [folder / PER_QUERY_NAME for folder in folders]
    # Arrow takes a while to load, which a study without such a file need not wait for.
    if not any(path.is_file() for path in paths):
        return None

    def parts() -> Iterator[tuple[int, pa.RecordBatch]]:
        for number, path in enumerate(paths):
            if path.is_file():
                yield from ((number, part) for part in iterate_study_scores(path))

    return QueryScores(parts())


def _chunk(column: Any) -> Any:
    """Return a column's values in one piece."""
    import pyarrow as pa

    if isinstance(column, pa.ChunkedArray):
        column = column.unify_dictionaries().combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = column.chunk(0)
    return column


def _numbers(chunk: Any) -> npt.NDArray[Any]:
    """Return an Arrow array of numbers, none of them null; its own method would load pandas for it."""
    import numpy as np

    return np.from_dlpack(chunk)


def _codes(column: Any) -> tuple[IntArray, list[Any]]:
    """Return a column as small numbers, and the values that they stand for."""
    import numpy as np
    import pyarrow as pa

    chunk = _chunk(column)
    if not pa.types.is_dictionary(chunk.type):
        chunk = chunk.dictionary_encode(null_encoding="encode")
    return (
        _numbers(chunk.indices).astype(np.int64),
        chunk.dictionary.to_pylist(),
    )


def _weighted(values: npt.NDArray[np.float32], place: IntArray) -> FloatArray:
    """Return the values so that their plain mean is the mean over places of the means inside."""
    import numpy as np

    wide = values.astype(np.float64)
    if place[0] == place[-1]:
        return wide
    _, inverse, counts = np.unique(place, return_inverse=True, return_counts=True)
    return wide * (len(wide) / (len(counts) * counts[inverse]))
