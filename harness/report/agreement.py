"""Whether published files are what their records give.

Owns the comparison behind `harness verify`: bytes first, then cell by cell, numbers within their last
digit. The rule: words, counts and layout must be equal; only numbers with decimals may differ, and only
so much as another machine's arithmetic can explain. How a file falls into cells is left to `cells`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Literal

from harness.report.cells import split_cells

Status = Literal["OK", "rounding", "differs"]

_DECIMAL = re.compile(r"(?<![\w.])\d+\.\d+(?:e[+-]?\d+)?(?!\w|\.\d)")
_SHOWN_DECIMALS = 4
"""Numbers with up to so many decimals are rounded for reading: one unit of the last may differ."""
_RELATIVE = 1e-6
_SHOWN_LENGTH = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class CellAgreement:
    """One cell that is not the same in both files."""

    place: str
    """Such as `row reconstruction=on, news/mean` or `line 12, cell 3`."""
    status: Status
    published: str
    rebuilt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How one published file compares with the rebuilt one."""

    file: Path
    status: Status
    detail: str = ""
    """The first place where the two differ."""
    num_cells: int = 0
    """Cells that both files have."""
    cells: tuple[CellAgreement, ...] = ()
    """Those of them that are not the same."""


def compare_report(rebuilt: Mapping[str, str], folder: Path) -> list[Agreement]:
    """Return for each file of a report how the one in `folder` compares with the rebuilt one.

    Args:
        rebuilt: Name of a file -> its text.
        folder: The published report.
    """
    return [_compare_file(folder / name, text) for name, text in rebuilt.items()]


def _compare_file(file: Path, rebuilt: str) -> Agreement:
    if not file.is_file():
        return Agreement(file=file, status="differs", detail="no such file")
    published = file.read_bytes().decode("utf-8", errors="replace")
    ours, theirs = split_cells(file.name, published), split_cells(file.name, rebuilt)
    num_cells = len(ours.keys() & theirs.keys())
    if published == rebuilt:
        return Agreement(file=file, status="OK", num_cells=num_cells)
    cells = []
    for place in dict.fromkeys((*ours, *theirs)):
        one, other = ours.get(place), theirs.get(place)
        if one != other:
            is_close = one is not None and other is not None and _is_close(one, other)
            around = ("absent" if text is None else text for text in (one, other))
            first, second = _around(*around)
            status: Status = "rounding" if is_close else "differs"
            cells.append(CellAgreement(place=place, status=status, published=first, rebuilt=second))
    status, detail = compare_texts(published, rebuilt)
    return Agreement(file=file, status=status, detail=detail, num_cells=num_cells, cells=tuple(cells))


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
            first, second = _around(ours, theirs)
            return "differs", f"line {number}: published {first!r}, rebuilt {second!r}"
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


def _around(ours: str, theirs: str) -> tuple[str, str]:
    """Return both texts from shortly before the place where they part."""
    part = next(
        (index for index, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b),
        min(len(ours), len(theirs)),
    )
    start = max(0, part - _SHOWN_LENGTH // 3)
    end = start + _SHOWN_LENGTH
    return ours[start:end], theirs[start:end]
