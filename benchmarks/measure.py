"""Side by side measurement of two ways to do the same work.

Owns alternation, medians and the row format of `results/benchmarks/<name>.json`. Machines are noisy:
ours and the peer's runs alternate in one process, and the ratio is the median of the ratios of
neighbours, not a ratio of bests.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

RESULTS = Path("results") / "benchmarks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One comparison."""

    name: str
    unit: str
    ours: float
    peer: float
    ratio: float
    """Ours over the peer's, median of the pairs; above 1 means faster where the unit is a rate."""
    peak_share: float | None
    """Share of the matrix product's measured peak that ours reaches; None where it has no meaning."""
    repeats: int
    machine: str


def compare_rates(
    name: str,
    *,
    unit: str,
    amount: float,
    ours: Callable[[], object],
    peer: Callable[[], object],
    repeats: int,
    flops: float | None = None,
) -> Row:
    """Time two functions alternately and return rates of `amount` a second.

    Args:
        name: What is done.
        unit: Unit of the rate.
        amount: Units of work that one call does.
        ours: Does the work once.
        peer: Does the same work once.
        repeats: Counted pairs, after one that is not.
        flops: Floating point operations that one call needs, for the share of the peak.
    """
    seconds: list[tuple[float, float]] = []
    for counted in range(repeats + 1):
        pair = (_time(ours), _time(peer))
        if counted:
            seconds.append(pair)
    mine = statistics.median(first for first, _ in seconds)
    return Row(
        name=name,
        unit=unit,
        ours=round(amount / mine, 3),
        peer=round(amount / statistics.median(second for _, second in seconds), 3),
        ratio=round(statistics.median(second / first for first, second in seconds), 3),
        peak_share=None if flops is None else round(flops / mine / matrix_peak(), 3),
        repeats=repeats,
        machine=describe(),
    )


def _time(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def matrix_peak(size: int = 1024, repeats: int = 7) -> float:
    """Return the float32 operations a second that a large matrix product reaches here."""
    import torch

    first, second = torch.rand(size, size), torch.rand(size, size)
    best = min(_time(lambda: first @ second) for _ in range(repeats))
    return 2 * size**3 / best


def describe() -> str:
    """Return the processor and the number of threads."""
    import torch

    return f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def report(name: str, rows: list[Row]) -> None:
    """Print the rows and write them to `results/benchmarks/<name>.json`."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    for row in rows:
        share = "" if row.peak_share is None else f", {row.peak_share:.0%} of the matrix peak"
        print(f"{row.name}: {row.ours} {row.unit}, peer {row.peer}, ratio {row.ratio}{share}")  # noqa: T201
