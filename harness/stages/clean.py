"""Stage `clean`: the pairs of a source without those that nobody should train on.

Configuration: `pairs` (the set) and `cleaning`. Input `source`. Output: `pairs/<set>.arrow` and
`statistics.json` with what became of every pair.
"""

from __future__ import annotations

from collections import Counter

from pydantic import TypeAdapter

from harness.errors import DataError
from harness.stages.context import StepContext
from harness.stages.pair_output import finish_source
from harness.study.sources import Cleaning

VERSION = 1


def run(context: StepContext) -> None:
    """Write the pairs that are kept."""
    from harness.data.cleaning import clean
    from harness.data.pair_sets import PairSet, set_path, write_pairs

    settings = TypeAdapter(Cleaning).validate_python(context.config["cleaning"])
    name = context.config["pairs"]
    pairs = PairSet(set_path(context.inputs["source"], name))
    counts: Counter[str] = Counter()
    num_kept = write_pairs(set_path(context.output, name), clean(pairs, settings, counts))
    context.report(", ".join(f"{number} {reason}" for reason, number in counts.most_common()))
    if num_kept == 0:
        raise DataError(
            f"cleaning drops all {len(pairs)} pairs: {dict(counts)}",
            cure="Loosen `clean` of the source.",
        )
    finish_source(context.output, cleaning=dict(sorted(counts.items())))
