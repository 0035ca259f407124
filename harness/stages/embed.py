"""Stage `embed`: one part of a large corpus, encoded before its task is scored.

Configuration and inputs: those of the `evaluate` step that it spares work, and `shard` and `num_shards`.
Output: `shard.json`, which says how much was encoded. The vectors lie in the cache, which is no part of
any identity: an evaluation gives the same bytes after shards and without them.
"""

from __future__ import annotations

import json

from harness.stages.context import StepContext
from harness.stages.evaluate import beir_folder, load_encoder, mirrors_of
from harness.study.benchmarks import Limits

VERSION = 2


def run(context: StepContext) -> None:
    """Encode the shard's documents that are not in the cache yet."""
    from harness.evaluation.corpora import beir_corpora, encode_shard, mteb_corpora

    config = context.config
    limits = Limits.of(config)
    if config["evaluator"] == "beir":
        corpora = beir_corpora(config["task"], folder=beir_folder(context))
    else:
        corpora = mteb_corpora(config["task"], mirrors=mirrors_of(context), limits=limits)
    encoder = load_encoder(context)
    num_documents = encode_shard(
        encoder,
        corpora,
        task=config["task"],
        shard=config["shard"],
        num_shards=config["num_shards"],
    )
    about = {"num_documents": num_documents, "dimension": encoder.embedder.dimension}
    (context.output / "shard.json").write_text(json.dumps(about) + "\n", encoding="utf-8")
