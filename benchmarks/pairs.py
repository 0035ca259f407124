"""A mixture larger than a laptop's memory should hold: reading it through, and going on in its middle.

Run as `make bench`. The mixture has 1,800,000 generated triples. The peer is `datasets`, the library
that maps Arrow files into memory, over the same rows; each reads in a process of its own, by turns,
since what is compared besides speed is peak memory (mapped pages that were touched count in it).
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Row, describe, report
from harness.data.mixtures import Part, mix
from harness.data.pair_sets import PairSet, write_pairs
from harness.data.pairs import Pair

NUM_PAIRS = 1_800_000
REPEATS = 3
_TEXT = "some words that stand for a passage of the usual length in such sets " * 5
_CODE = {
    "ours": """
from pathlib import Path
from harness.data.pair_sets import PairSet
pairs = PairSet(Path(sys.argv[1]))
rows = iter(pairs)
def middle(): return next(PairSet(Path(sys.argv[1])).iterate(len(pairs) // 2))
""",
    "peer": """
import datasets
pairs = datasets.load_dataset("arrow", data_files=sys.argv[1], split="train", cache_dir=sys.argv[2])
rows = (row for batch in pairs.iter(1024) for row in zip(*batch.values()))
def middle(): return datasets.load_dataset(
    "arrow", data_files=sys.argv[1], split="train", cache_dir=sys.argv[2])[len(pairs) // 2]
""",
}
_MEASURE = """
import json, time
began = time.perf_counter(); num_rows = sum(1 for _ in rows)
rate = num_rows / (time.perf_counter() - began)
began = time.perf_counter(); middle(); resumed = time.perf_counter() - began
peak = next(int(one.split()[1]) for one in open('/proc/self/status') if one.startswith('VmHWM')) / 1024
print(json.dumps({"rows/s": rate, "s": resumed, "MB": peak, "rows": num_rows}))
"""


def main() -> None:
    """Measure and report."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_mixture(Path(folder))
        runs = [{who: _run(who, path, folder) for who in _CODE} for _ in range(REPEATS)]
    for run in runs:
        for who, found in run.items():
            if found["rows"] != NUM_PAIRS:
                raise RuntimeError(f"{who} read {found['rows']} rows of {NUM_PAIRS}")
    names = {"rows/s": "read through", "s": "go on in the middle", "MB": "read through, peak memory"}
    report(
        "pairs", [_row(f"mixture of {NUM_PAIRS:,}: {what}", unit, runs) for unit, what in names.items()]
    )


def write_mixture(folder: Path) -> Path:
    """Write a mixture of three generated sets, one of them by half, and return its path."""
    sizes = {
        "first": (NUM_PAIRS // 2, 1.0),
        "second": (NUM_PAIRS // 3, 1.0),
        "third": (NUM_PAIRS // 3, 0.5),
    }
    parts = []
    for name, (size, share) in sizes.items():
        path = folder / f"{name}.arrow"
        write_pairs(path, (_pair(name, number) for number in range(size)))
        parts.append(Part(name=name, pairs=PairSet(path), share=share))
    write_pairs(folder / "mixture.arrow", mix(parts, seed=0))
    return folder / "mixture.arrow"


def _pair(name: str, number: int) -> Pair:
    return Pair(
        query=f"what does {name} say of number {number}?",
        positive=f"{number} {_TEXT}",
        negatives=(f"{number + 1} {_TEXT}",),
    )


def _run(who: str, path: Path, folder: str) -> dict[str, float]:
    code = f"import sys\n{_CODE[who]}{_MEASURE}"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), f"{folder}/cache"],
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _row(name: str, unit: str, runs: list[dict[str, dict[str, float]]]) -> Row:
    ours, peer = ([run[who][unit] for run in runs] for who in _CODE)
    ratios = [mine / other for mine, other in zip(ours, peer, strict=True)]
    is_rate = unit == "rows/s"
    ratio = statistics.median(ratios if is_rate else [1 / one for one in ratios])
    return Row(
        name=name,
        unit=unit,
        ours=round(statistics.median(ours), 3),
        peer=round(statistics.median(peer), 3),
        ratio=round(ratio, 3),
        peak_share=None,
        repeats=len(runs),
        machine=describe(),
    )


if __name__ == "__main__":
    main()
