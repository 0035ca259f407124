"""A report's file as cells with names.

Owns what counts as a cell in each format: a field of CSV by row and column, a value of JSON by its
path, and else a piece of a line between the format's separators. The rule: every character of a file
is in some cell or is a separator, so that files with equal cells say the same.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

_SEPARATORS = {".md": " | ", ".tex": " & "}


def split_cells(name: str, text: str) -> dict[str, str]:
    """Return place -> text of every cell of a file.

    Args:
        name: Name of the file, whose ending tells the format.
        text: Its content; what is not of that format falls into lines.
    """
    ending = name[name.rfind(".") :]
    if ending == ".csv":
        return dict(_of_csv(text))
    if ending == ".json":
        try:
            return dict(_of_json(json.loads(text), ""))
        except ValueError:
            pass
    return dict(_of_lines(text, _SEPARATORS.get(ending)))


def _of_csv(text: str) -> Iterator[tuple[str, str]]:
    lines = list(csv.reader(io.StringIO(text)))
    heads = lines[0] if lines else []
    for head in heads:
        yield f"column {head}", head
    for number, line in enumerate(lines[1:], start=2):
        label = line[0] if line else ""
        for place, value in enumerate(line):
            head = heads[place] if place < len(heads) else f"column {place + 1}"
            yield f"line {number}, row {label}, {head}", value


def _of_json(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        items = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list):
        items = [(str(index), item) for index, item in enumerate(value)]
    else:
        yield path, json.dumps(value, ensure_ascii=False)
        return
    if not items:
        yield path, json.dumps(value)
    for key, item in items:
        yield from _of_json(item, f"{path}/{key}")


def _of_lines(text: str, separator: str | None) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        pieces = line.split(separator) if separator else [line]
        for place, piece in enumerate(pieces, start=1):
            yield (f"line {number}, cell {place}" if len(pieces) > 1 else f"line {number}"), piece
