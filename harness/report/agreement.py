"""Whether published files are what their records give.

Owns the comparison behind `harness verify`: bytes first, then numbers within their last digit. The rule:
words, counts and layout must be equal; only numbers with decimals may differ, and only so much as
another machine's arithmetic can explain.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Literal

from harness.records.schema import Record
from harness.records.summary import StudySummary
from harness.report.write import render_report

Status = Literal["OK", "rounding", "differs"]

_DECIMAL = re.compile(r"(?<![\w.])\d+\.\d+(?:e[+-]?\d+)?(?!\w|\.\d)")
_SHOWN_DECIMALS = 4
"""Numbers with up to so many decimals are rounded for reading: one unit of the last may differ."""
_RELATIVE = 1e-6
_SHOWN_LENGTH = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How one published file compares with the rebuilt one."""

    file: Path
    status: Status
    detail: str = ""
    """The first place where the two differ."""


def compare_report(summary: StudySummary, records: Sequence[Record], folder: Path) -> list[Agreement]:
    """Return for each file of a report how the one in `folder` compares with a rebuilt one.

    Raises:
        RecordError: If records contradict each other or do not fit the summary.
    """
    found = []
    for name, rebuilt in render_report(summary, records).items():
        file = folder / name
        if not file.is_file():
            found.append(Agreement(file=file, status="differs", detail="no such file"))
            continue
        status, detail = compare_texts(file.read_bytes().decode("utf-8", errors="replace"), rebuilt)
        found.append(Agreement(file=file, status=status, detail=detail))
    return found


def compare_texts(published: str, rebuilt: str) -> tuple[Status, str]:
    """Return how two texts compare, and the first difference where they are not close."""
    if published == rebuilt:
        return "OK", ""
    lines = zip_longest(published.split("\n"), rebuilt.split("\n"))
    for number, (ours, theirs) in enumerate(lines, start=1):
        if ours is None or theirs is None:
            return (
                "differs",
                f"line {number}: {'published' if theirs is None else 'rebuilt'} text is longer",
            )
        if not _is_close(ours, theirs):
            return "differs", f"line {number}: {_around(ours, theirs)}"
    return "rounding", ""


def _is_close(ours: str, theirs: str) -> bool:
    if ours == theirs:
        return True
    if _DECIMAL.sub("#", ours) != _DECIMAL.sub("#", theirs):
        return False
    pairs = zip(_DECIMAL.findall(ours), _DECIMAL.findall(theirs), strict=True)
    return all(_agree(one, other) for one, other in pairs)


def _agree(one: str, other: str) -> bool:
    decimals = [len(text.partition(".")[2]) for text in (one, other) if "e" not in text]
    first, second = float(one), float(other)
    if len(decimals) == 2 and max(decimals) <= _SHOWN_DECIMALS:
        # A little more than one unit, as decimal fractions are not exact.
        return decimals[0] == decimals[1] and abs(first - second) <= 1.001 * 10 ** -decimals[0]
    return abs(first - second) <= _RELATIVE * max(abs(first), abs(second))


def _around(ours: str, theirs: str) -> str:
    """Return both texts from shortly before the place where they part."""
    part = next(
        (index for index, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b),
        min(len(ours), len(theirs)),
    )
    start = max(0, part - _SHOWN_LENGTH // 3)
    end = start + _SHOWN_LENGTH
    return f"published {ours[start:end]!r}, rebuilt {theirs[start:end]!r}"
