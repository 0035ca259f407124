"""People's own files of training pairs, in the layouts that the field uses.

Owns the reading of JSON lines, Parquet, CSV and TSV, plain or gzipped, one file or a folder of them, row
by row. The rule: a row is read right or the file is refused with file, row and field; columns that mean
nothing here are passed over and counted, unless their name looks like a slip for one that does. Layouts
known by their names alone: this project's (`positive`, `negatives`), echo-embeddings' and
sentence-transformers' (`anchor`, `positive`, `negative`, `negative_1` ...), FlagEmbedding's (`query`,
`pos`, `neg`, `prompt`). Anything else needs `columns`.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from harness.data.pairs import FIELDS, PAIR_CURE, Pair, make_pair
from harness.errors import DataError, did_you_mean

KINDS = ("jsonl", "parquet", "csv", "tsv")

_NAMES = {
    "query": ("query", "anchor"),
    "positive": ("positive", "pos"),
    "negatives": ("negatives", "negative", "neg"),
    "dataset": ("dataset",),
    "instruction": ("instruction", "prompt"),
}
"""Field -> the columns that stand for it; the first that a file has."""
_NUMBERED = re.compile(r"negative_\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How the columns of a file become pairs."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """Field -> column, for files of a layout that is not known by its names."""
    dataset: str = ""
    """Name of the dataset, for rows that give none."""
    instruction: str | None = None
    """Instruction, for rows that give none."""
    all_positives: bool = False
    """Whether a row with several positives becomes a pair each; else its first counts."""


def read_files(
    path: Path, layout: Layout | None = None, *, ignored: Counter[str] | None = None
) -> Iterator[Pair]:
    """Yield the pairs of a file, or of all files of a folder in the order of their names.

    Args:
        path: File or folder.
        layout: What its columns mean. In a folder of several files, each is a dataset of its name.
        ignored: Counts the rows of columns that were passed over.

    Raises:
        DataError: Naming file and row, when something is no pair or a file cannot be read.
    """
    layout = layout or Layout()
    ignored = Counter() if ignored is None else ignored
    files = _files(path)
    for file in files:
        name = layout.dataset or (_stem(file) if path.is_dir() and len(files) > 1 else "")
        for where, row in _rows(file):
            for pair in read_row(row, layout, where=where, ignored=ignored):
                yield pair if pair.dataset or not name else _named(pair, name)


def read_row(
    row: Any, layout: Layout, *, where: str, ignored: Counter[str] | None = None
) -> Iterator[Pair]:
    """Yield the pairs of one row: one, or one a positive where the layout says so.

    Raises:
        DataError: When the row is no pair.
    """
    if not isinstance(row, Mapping):
        raise DataError(f"{where}: a {type(row).__name__} where an object is needed", cure=PAIR_CURE)
    plain = _fields(row, layout, where=where, ignored=ignored)
    plain["instruction"] = plain.get("instruction") or layout.instruction
    positives = plain.get("positive")
    if isinstance(positives, list | tuple):
        if not positives:
            raise DataError(f"{where}: has no positive", cure=PAIR_CURE)
        for positive in positives if layout.all_positives else positives[:1]:
            yield make_pair({**plain, "positive": positive}, where=where)
        return
    yield make_pair(plain, where=where)


def _fields(
    row: Mapping[str, Any], layout: Layout, *, where: str, ignored: Counter[str] | None
) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    used = set()
    for name in FIELDS:
        candidates = (layout.columns[name],) if name in layout.columns else _NAMES[name]
        column = next((one for one in candidates if one in row), None)
        if column is not None:
            plain[name] = row[column]
            used.add(column)
        elif name in layout.columns:
            hint = did_you_mean(layout.columns[name], tuple(row))
            raise DataError(
                f"{where}: no column {layout.columns[name]!r}.{hint}",
                cure=f"`columns` can name: {', '.join(map(repr, row))}.",
            )
    if isinstance(plain.get("negatives"), str):
        plain["negatives"] = [plain["negatives"]] if plain["negatives"].strip() else []
    numbered = sorted(
        (name for name in row if _NUMBERED.fullmatch(name)), key=lambda name: (len(name), name)
    )
    if numbered:
        more = [row[name] for name in numbered if row[name]]
        plain["negatives"] = [*(plain.get("negatives") or []), *more]
        used.update(numbered)
    _pass_over(row, used, plain, where=where, ignored=ignored)
    return plain


def _pass_over(
    row: Mapping[str, Any],
    used: set[str],
    plain: Mapping[str, Any],
    *,
    where: str,
    ignored: Counter[str] | None,
) -> None:
    for name in row:
        if name in used:
            continue
        if ignored is None or name not in ignored:
            meant = did_you_mean(name, [one for one in FIELDS if one not in plain])
            if meant:
                raise DataError(f"{where}: unknown field {name!r}.{meant}", cure=PAIR_CURE)
        if ignored is not None:
            ignored[name] += 1


def _named(pair: Pair, dataset: str) -> Pair:
    return Pair(
        query=pair.query,
        positive=pair.positive,
        negatives=pair.negatives,
        dataset=dataset,
        instruction=pair.instruction,
    )


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.rglob("*") if file.is_file() and _kind(file) in KINDS)
    if not files:
        raise DataError(
            f"{path}: no training files there",
            cure=f"Files may end in: .{', .'.join(KINDS)}; .gz after it.",
        )
    return files


def _kind(path: Path) -> str:
    suffixes = [suffix.lstrip(".").lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == "gz":
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _stem(path: Path) -> str:
    return path.name.split(".")[0]


def _rows(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield each row with the place that it comes from."""
    readers = {"jsonl": _json_lines, "parquet": _parquet, "csv": _table, "tsv": _table}
    kind = _kind(path)
    if kind not in readers:
        raise DataError(
            f"{path}: cannot tell what kind of file it is",
            cure=f"Its name must end in one of: .{', .'.join(KINDS)}; .gz may follow.",
        )
    try:
        yield from readers[kind](path)
    except OSError as error:
        # A file that is no gzip after all, or cut short, has no number of the system's.
        why = error.strerror or str(error)
        raise DataError(f"{path}: cannot read training pairs ({why})", cure=PAIR_CURE) from error
    except EOFError as error:
        raise DataError(f"{path}: ends too early ({error})", cure="Copy the file again.") from error


def _open(path: Path) -> IO[bytes]:
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    return path.open("rb")


def _json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    with _open(path) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            try:
                yield where, json.loads(line.decode("utf-8"))
            except ValueError as error:
                raise DataError(f"{where}: not a line of JSON ({error})", cure=PAIR_CURE) from error


def _parquet(path: Path) -> Iterator[tuple[str, Any]]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
        number = 0
        for batch in file.iter_batches(batch_size=1024):
            for row in batch.to_pylist():
                number += 1
                yield f"{path}: row {number}", row
    except pa.ArrowException as error:
        raise DataError(f"{path}: not a Parquet file ({error})", cure="Write the file again.") from error


def _table(path: Path) -> Iterator[tuple[str, Any]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    with _open(path) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t" if _kind(path) == "tsv" else ",", strict=True)
        try:
            for row in reader:
                where = f"{path}:{reader.line_num}"
                if None in row or None in row.values():
                    raise DataError(
                        f"{where}: not as many fields as the heading has",
                        cure="Quote fields with commas.",
                    )
                yield where, {name: value for name, value in row.items() if value != ""}
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(
                f"{path}:{reader.line_num}: {error}", cure="Write it as UTF-8 CSV."
            ) from error
