"""Stage `mix`: pairs of several sources as one set.

Configuration: `parts` (name, pair set and share of each, in order) and `seed`. Inputs `part0`, `part1`
and so on. Output: `pairs/default.arrow` and `statistics.json`.
"""

from __future__ import annotations

from harness.stages.context import StepContext
from harness.stages.pair_output import finish_source
from harness.study.training_sets import DEFAULT_PAIRS

VERSION = 1


def run(context: StepContext) -> None:
    """Write the mixture."""
    from harness.data.mixtures import Part, mix
    from harness.data.pair_sets import PairSet, set_path, write_pairs

    parts = [
        Part(
            name=part["name"],
            pairs=PairSet(set_path(context.inputs[f"part{number}"], part["pairs"])),
            share=part["share"],
        )
        for number, part in enumerate(context.config["parts"])
    ]
    path = set_path(context.output, DEFAULT_PAIRS)
    num_pairs = write_pairs(path, mix(parts, seed=context.config["seed"]))
    context.report(f"{num_pairs} pairs of {len(parts)} sources")
    finish_source(context.output)
