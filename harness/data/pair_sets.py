"""Sets of training pairs on disk, larger than memory.

Owns `pairs/<set>.arrow` in a source folder: an Arrow file of small record batches, which
`datasets.load_dataset("arrow", data_files=...)` opens too. The rule: the same pairs in the same order
are the same bytes; a set is there whole or not at all; rows are read when they are asked for, a record
batch at a time, and nothing else is held, neither in memory nor mapped into it. People's own files are
`formats`' affair.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa

from harness.data.pairs import Pair
from harness.errors import DataError, did_you_mean

SUFFIX = ".arrow"
_SCHEMA = pa.schema(
    {
        "query": pa.string(),
        "positive": pa.string(),
        "negatives": pa.list_(pa.string()),
        "dataset": pa.string(),
        "instruction": pa.string(),
    }
)
_BATCH = 256
"""Pairs a record batch: what is read to get at one of them."""
_RUN = 1024
"""Pairs that are made at once in one pass over a set."""


def set_path(source: Path, name: str) -> Path:
    """Return where a source folder keeps the pair set of a name."""
    return source / "pairs" / f"{name}{SUFFIX}"


def write_pairs(path: Path, pairs: Iterable[Pair]) -> int:
    """Write pairs as they come, the same bytes for equal pairs, and return how many there were."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    num_pairs = 0
    waiting = iter(pairs)
    with pa.OSFile(str(temporary), "wb") as file, pa.ipc.new_file(file, _SCHEMA) as writer:
        while rows := list(islice(waiting, _BATCH)):
            writer.write_batch(_record_batch(rows))
            num_pairs += len(rows)
    temporary.replace(path)
    return num_pairs


def _record_batch(pairs: Sequence[Pair]) -> Any:
    columns = [
        [pair.query for pair in pairs],
        [pair.positive for pair in pairs],
        [pair.negatives for pair in pairs],
        [pair.dataset for pair in pairs],
        [pair.instruction for pair in pairs],
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
    return pa.record_batch(arrays, schema=_SCHEMA)


class PairSet(Sequence[Pair]):
    """The pairs of a file, in its order.

    Args:
        path: What `write_pairs` wrote.

    Raises:
        DataError: When the file is missing, empty or no set of pairs.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise DataError(f"{path}: cannot read training pairs (no such file)", cure=_available(path))
        self.path = path
        try:
            self._reader = pa.ipc.open_file(pa.OSFile(str(path)))
            self._num_batches = int(self._reader.num_record_batches)
            last = self._reader.get_batch(self._num_batches - 1).num_rows if self._num_batches else 0
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path}: not a set of training pairs ({error})", cure=_CURE) from error
        if self._reader.schema != _SCHEMA:
            raise DataError(f"{path}: holds the columns {self._reader.schema.names}", cure=_CURE)
        # All batches but the last are full.
        self._num_pairs = max(self._num_batches - 1, 0) * _BATCH + int(last)
        if self._num_pairs == 0:
            raise DataError(f"{path}: holds no pairs", cure=_CURE)

    def __len__(self) -> int:
        return self._num_pairs

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> list[Pair]: ...
    def __getitem__(self, index: int | slice) -> Pair | list[Pair]:
        if isinstance(index, slice):
            return self.take(range(*index.indices(len(self))))
        return self.take([range(len(self))[index]])[0]

    def __iter__(self) -> Iterator[Pair]:
        return self.iterate()

    def iterate(self, start: int = 0) -> Iterator[Pair]:
        """Yield the pairs from row `start` on; nothing before its record batch is read."""
        for first in range(start, len(self), _RUN):
            yield from self.take(range(first, min(first + _RUN, len(self))))

    def take(self, rows: Sequence[int]) -> list[Pair]:
        """Return the pairs of some rows, in their order.

        Raises:
            IndexError: If a row is not there.
        """
        places: defaultdict[int, list[int]] = defaultdict(list)
        for place, row in enumerate(rows):
            if not 0 <= row < self._num_pairs:
                raise IndexError(f"row {row} of {self._num_pairs}")
            places[row // _BATCH].append(place)
        found: list[Any] = [None] * len(rows)
        for number, wanted in sorted(places.items()):
            batch = self._batch(number)
            some = [rows[place] % _BATCH for place in wanted]
            for place, pair in zip(wanted, _pairs(batch, some), strict=True):
                found[place] = pair
        return found

    def _batch(self, number: int) -> Any:
        try:
            return self._reader.get_batch(number)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self.path}: cannot be read ({error})", cure=_CURE) from error

    @cached_property
    def datasets(self) -> tuple[tuple[str, ...], np.ndarray]:
        """The datasets' names, sorted, and the number of each pair's dataset among them [pairs]."""
        options = pa.ipc.IpcReadOptions(included_fields=[_SCHEMA.get_field_index("dataset")])
        reader = pa.ipc.open_file(pa.OSFile(str(self.path)), options=options)
        columns = [reader.get_batch(number).column("dataset") for number in range(self._num_batches)]
        column = pa.chunked_array(columns).dictionary_encode().combine_chunks()
        names = [str(name) for name in column.dictionary.to_pylist()]
        order = sorted(range(len(names)), key=names.__getitem__)
        numbers = np.empty(len(names), dtype=np.int32)
        numbers[order] = np.arange(len(names), dtype=np.int32)
        return tuple(names[number] for number in order), numbers[column.indices.to_numpy()]


class SomePairs(Sequence[Pair]):
    """Some rows of a set, as a set of its own.

    Args:
        pairs: The whole set.
        rows: Its rows that count, in the order in which they do.
    """

    def __init__(self, pairs: PairSet, rows: Sequence[int]) -> None:
        self._pairs, self._rows = pairs, np.asarray(rows, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> list[Pair]: ...
    def __getitem__(self, index: int | slice) -> Pair | list[Pair]:
        if isinstance(index, slice):
            return self._pairs.take(self._rows[index].tolist())
        return self._pairs[int(self._rows[index])]

    def __iter__(self) -> Iterator[Pair]:
        for first in range(0, len(self), _RUN):
            yield from self[first : first + _RUN]


def _pairs(batch: Any, rows: Sequence[int]) -> list[Pair]:
    if len(rows) < batch.num_rows:
        batch = batch.take(pa.array(rows, pa.int32()))
        rows = range(len(rows))
    columns = [column.to_pylist() for column in batch.columns]
    made = [
        Pair(
            query=query,
            positive=positive,
            negatives=tuple(negatives),
            dataset=dataset,
            instruction=instruction,
        )
        for query, positive, negatives, dataset, instruction in zip(*columns, strict=True)
    ]
    return [made[row] for row in rows]


_CURE = "Build the source again: remove its folder and run the study."


def _available(path: Path) -> str:
    names = sorted(item.stem for item in path.parent.glob(f"*{SUFFIX}"))
    if names:
        return f"Pair sets there: {', '.join(names)}.{did_you_mean(path.stem, names)}"
    return "Build the source first."
