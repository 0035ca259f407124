"""Training pairs as JSON lines: a query, its positive and maybe hard negatives.

Owns the format of `pairs/<set>.jsonl` in a source folder and the check of every line. The rule: a
file is read whole and right or not at all, and a fault names the file and the line. Which pairs
enter a batch is `harness.training.batches`' affair.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import DataError, did_you_mean

_FIELDS = ("query", "positive", "negatives", "dataset", "instruction")
_CURE = (
    'Each line must read {"query": "...", "positive": "...", "negatives": ["...", ...]}, and may have '
    '"dataset" and "instruction".'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One training example."""

    query: str
    positive: str
    """The text that answers the query."""
    negatives: tuple[str, ...] = ()
    """Hard negatives: texts that resemble the positive and do not answer the query."""
    dataset: str = ""
    """Where the pair comes from: batches may be drawn from one dataset at a time."""
    instruction: str | None = None
    """The task's instruction; takes the place of the study's own before the query."""


def read_pairs(path: Path) -> list[Pair]:
    """Read a file of pairs, in its order.

    Raises:
        DataError: When the file is missing or empty, or a line is no pair; names file and line.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise DataError(
            f"{path}: cannot read training pairs ({error.strerror})", cure=_available(path)
        ) from error
    pairs = [
        _parse(line, where=f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()
    ]
    if not pairs:
        raise DataError(f"{path}: holds no pairs", cure=_CURE)
    return pairs


def write_pairs(path: Path, pairs: Iterable[Pair]) -> None:
    """Write `pairs` as JSON lines, the same bytes for equal pairs; empty fields are left out."""
    rows = []
    for pair in pairs:
        row: dict[str, Any] = {"query": pair.query, "positive": pair.positive}
        if pair.negatives:
            row["negatives"] = list(pair.negatives)
        if pair.dataset:
            row["dataset"] = pair.dataset
        if pair.instruction is not None:
            row["instruction"] = pair.instruction
        rows.append(row)
    write_json_lines(path, rows)


def write_json_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line in plain UTF-8, making the folder where needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def build_jsonl(file: Path, output: Path, *, pairs: str = "default") -> None:
    """Make a source folder of one pair set out of a user's own JSON lines file.

    Args:
        file: Pairs in the format of `read_pairs`.
        output: Folder to write: `pairs/<pairs>.jsonl` and `source.json`.
        pairs: Name of the pair set.

    Raises:
        DataError: When the file is not what `read_pairs` reads.
    """
    examples = read_pairs(file)
    write_pairs(output / "pairs" / f"{pairs}.jsonl", examples)
    counts = {"pairs": {pairs: len(examples)}}
    (output / "source.json").write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")


def _parse(line: bytes, *, where: str) -> Pair:
    try:
        row = json.loads(line.decode("utf-8"))
    except ValueError as error:
        raise DataError(f"{where}: not a line of JSON ({error})", cure=_CURE) from error
    if not isinstance(row, dict):
        raise DataError(f"{where}: a {type(row).__name__} where an object is needed", cure=_CURE)
    for name in row:
        if name not in _FIELDS:
            raise DataError(f"{where}: unknown field {name!r}.{did_you_mean(name, _FIELDS)}", cure=_CURE)
    for name in ("query", "positive"):
        if not isinstance(row.get(name), str) or not row[name].strip():
            raise DataError(f"{where}: {name!r} must be a text that is not blank", cure=_CURE)
    negatives = row.get("negatives", [])
    if not isinstance(negatives, list) or not all(isinstance(item, str) for item in negatives):
        raise DataError(f"{where}: 'negatives' must be a list of texts", cure=_CURE)
    for name in ("dataset", "instruction"):
        if not isinstance(row.get(name, ""), str):
            raise DataError(f"{where}: {name!r} must be a text", cure=_CURE)
    return Pair(
        query=row["query"],
        positive=row["positive"],
        negatives=tuple(negatives),
        dataset=row.get("dataset", ""),
        instruction=row.get("instruction"),
    )


def _available(path: Path) -> str:
    names = sorted(item.stem for item in path.parent.glob("*.jsonl"))
    if names:
        return f"Pair sets there: {', '.join(names)}.{did_you_mean(path.stem, names)}"
    return "Build the source first, or give the path of a JSON lines file of pairs."
