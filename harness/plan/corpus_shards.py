"""Which evaluations have a corpus so large that it is encoded in shards first.

Owns `shard_configurations`. The rule: shards are a matter of execution: they are decided by the study's
resources and mteb's descriptive statistics, and an evaluation's identity does not know of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from harness.plan.graph import Configuration
from harness.plan.work import size_of_task
from harness.study.catalogue import task_types

_SHARDED = ("Retrieval",)


def shard_configurations(config: Configuration, documents: int | None) -> list[Mapping[str, Any]]:
    """Return the configurations of the steps that encode one evaluation's corpus.

    Args:
        config: The evaluation's.
        documents: Texts from which on a corpus is encoded in shards, of about so many each.
    """
    plain = config.plain
    if documents is None or "lexical" in plain:
        return []
    if plain["evaluator"] == "mteb" and task_types().get(plain["task"]) not in _SHARDED:
        return []
    size = size_of_task(plain, None)
    num_documents = size.num_texts - size.num_queries if size else 0
    if num_documents <= documents:
        return []
    num_shards = math.ceil(num_documents / documents)
    return [{**plain, "shard": shard, "num_shards": num_shards} for shard in range(num_shards)]
