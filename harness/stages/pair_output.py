"""What the stages that make training pairs have in common.

Owns the numbers that lie beside every pair set. The rule: whoever writes pairs describes them in the
same step, so that nobody reads a set again to know what is in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


def finish_source(output: Path, **about: Any) -> None:
    """Write `statistics.json` of the pair sets in a step's output.

    Args:
        output: The step's folder.
        about: What else is to be known: counts of what was dropped, mined, passed over.
    """
    from harness.data.pair_sets import SUFFIX, PairSet
    from harness.data.pair_statistics import write_statistics

    paths = sorted((output / "pairs").glob(f"*{SUFFIX}"))
    write_statistics(output, {path.stem: PairSet(path) for path in paths}, **about)
