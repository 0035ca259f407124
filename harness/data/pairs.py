"""A training pair: a query, its positive and maybe hard negatives.

Owns `Pair` and the check of one. The rule: a pair that is taken is whole and right, and a fault is told
with the place that it comes from. Files of pairs are `pair_sets`' (the project's own) and `formats`'
(people's) affair; which pairs enter a batch is `harness.training.batches`'.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import DataError, did_you_mean

FIELDS = ("query", "positive", "negatives", "dataset", "instruction")
PAIR_CURE = (
    'Each example needs "query" and "positive", and may have "negatives" (a list of texts), "dataset" '
    'and "instruction"; other names can be mapped by `columns`.'
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


def make_pair(row: Mapping[str, Any], *, where: str) -> Pair:
    """Return the pair that plain values stand for.

    Args:
        row: Values by the names of `Pair`'s fields; None where there is none.
        where: File and line, for the message.

    Raises:
        DataError: When a text is missing, blank or no text.
    """
    for name in ("query", "positive"):
        if name not in row:
            hint = did_you_mean(name, tuple(row))
            raise DataError(f"{where}: {name!r} must be a text that is not blank.{hint}", cure=PAIR_CURE)
        if not isinstance(row[name], str) or not row[name].strip():
            raise DataError(f"{where}: {name!r} must be a text that is not blank", cure=PAIR_CURE)
    negatives = row.get("negatives") or []
    if not isinstance(negatives, list | tuple) or not all(isinstance(item, str) for item in negatives):
        raise DataError(f"{where}: 'negatives' must be a list of texts", cure=PAIR_CURE)
    for name in ("dataset", "instruction"):
        if not isinstance(row.get(name) or "", str):
            raise DataError(f"{where}: {name!r} must be a text", cure=PAIR_CURE)
    for text in (row["query"], row["positive"], *negatives):
        if max(text, default="") >= "\ud800" and not _is_unicode(text):
            raise DataError(f"{where}: holds half a character (a lone surrogate)", cure=PAIR_CURE)
    return Pair(
        query=row["query"],
        positive=row["positive"],
        negatives=tuple(negatives),
        dataset=row.get("dataset") or "",
        instruction=row.get("instruction"),
    )


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def plain_pair(pair: Pair) -> dict[str, Any]:
    """Return a pair as one plain JSON object; empty fields are left out."""
    row: dict[str, Any] = {"query": pair.query, "positive": pair.positive}
    if pair.negatives:
        row["negatives"] = list(pair.negatives)
    if pair.dataset:
        row["dataset"] = pair.dataset
    if pair.instruction is not None:
        row["instruction"] = pair.instruction
    return row


def write_json_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line in plain UTF-8, making the folder where needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
