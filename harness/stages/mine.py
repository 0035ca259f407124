"""Stage `mine`: hard negatives for the pairs of a source.

Configuration: `pairs` (the set) and `mining`. Inputs `source`, and `model` for dense mining. Output:
`pairs/<set>.arrow` and `statistics.json` with what became of the candidates.
"""

from __future__ import annotations

from collections import Counter

from pydantic import TypeAdapter

from harness.stages.context import StepContext
from harness.stages.pair_output import finish_source
from harness.study.sources import Mining

VERSION = 2


def run(context: StepContext) -> None:
    """Mine, and write the pairs with their negatives."""
    from harness.data.mining import bm25_ranker, mine
    from harness.data.pair_sets import PairSet, set_path, write_pairs

    settings = TypeAdapter(Mining).validate_python({"base": None, **context.config["mining"]})
    if settings.method == "bm25":
        make_ranker = bm25_ranker(settings.depth)
    else:
        from harness.models.dense_ranking import dense_ranker
        from harness.models.embedder import Embedder

        embedder = Embedder.load(
            context.inputs["model"], device=context.device, threads=context.resources.cpus
        )
        make_ranker = dense_ranker(embedder, prompt=settings.prompt, depth=settings.depth)
    name = context.config["pairs"]
    pairs = PairSet(set_path(context.inputs["source"], name))
    counts: Counter[str] = Counter()
    write_pairs(set_path(context.output, name), mine(pairs, settings, make_ranker, counts=counts))
    for what, number in sorted(counts.items()):
        context.report(f"{number} {what}")
    finish_source(context.output, mining=dict(sorted(counts.items())))
