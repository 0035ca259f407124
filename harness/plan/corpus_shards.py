"""Which evaluations have a corpus so large that it is encoded in shards first.

Owns `shard_configurations`. The rule: shards are a matter of execution: they are decided by the study's
resources and by mteb's descriptive statistics, or the lines of a local BEIR folder, and an evaluation's
identity does not know of them.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from harness.plan.work import size_of_task
from harness.study.catalogue import task_types

_SHARDED = ("Retrieval",)
_CORPUS = "corpus.jsonl"


def shard_configurations(
    config: Mapping[str, Any], documents: int | None, *, folder: str = ""
) -> list[dict[str, Any]]:
    """Return the configurations of the steps that encode one evaluation's corpus.

    Args:
        config: The evaluation's.
        documents: Texts from which on a corpus is encoded in shards, of about so many each.
        folder: Where BEIR folders lie, of an evaluation on one of them.
    """
    if documents is None or "lexical" in config:
        return []
    if config["evaluator"] == "mteb" and task_types().get(config["task"]) not in _SHARDED:
        return []
    if folder:
        num_documents = _num_lines(Path(folder) / config["task"])
    else:
        size = size_of_task(config, None)
        num_documents = size.num_texts - size.num_queries if size else 0
    if num_documents <= documents:
        return []
    num_shards = math.ceil(num_documents / documents)
    return [{**config, "shard": shard, "num_shards": num_shards} for shard in range(num_shards)]


def _num_lines(folder: Path) -> int:
    """Return the lines of a BEIR folder's corpus; 0 where it cannot be read, of which scoring tells."""
    for path in (folder / _CORPUS, folder / f"{_CORPUS}.gz"):
        if path.is_file():
            status = path.stat()
            return _count_once(path, status.st_size, status.st_mtime_ns)
    return 0


@cache
def _count_once(path: Path, size: int, changed: int) -> int:  # noqa: ARG001 - the cache's key
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return sum(block.count(b"\n") for block in iter(partial(file.read, 1 << 20), b""))
    except (OSError, EOFError, zlib.error):
        return 0
