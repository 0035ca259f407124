"""How much a step has to do: tokens through the network, and floating point operations.

Owns the estimate from a step's configuration, before it has ever run. The rule: it rests on the
configuration, on mteb's descriptive statistics, on the first lines of local pair files and on the base's
name or `config.json`; nothing is loaded and the network is not asked. What is not known is a wide range.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from harness.plan.ranges import Range, product
from harness.study.benchmarks import Limits, beir_tasks
from harness.study.catalogue import task_types
from harness.study.task_sizes import TaskSize, task_size
from harness.study.training_sets import training_sets

CHARACTERS_A_TOKEN = Range(2.0, 5.0)
"""Of subword vocabularies: near 2 in scripts that they cut finely, near 5 in English."""
_UNKNOWN_PARAMETERS = Range(1e8, 8e9)
_SHORTEST_SHARE = 1 / 4
"""Texts of unknown length fill at least this much of the tokens that they may have."""
_SIZE_IN_NAME = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)([bm])(?![a-z0-9])", re.IGNORECASE)
_BYTES = {"float32": 4, "bfloat16": 2}
_SAMPLED_LINES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one step has to do."""

    tokens: Range
    flops: Range
    """Operations; of the same tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a step stands on: the configurations of its base and source steps, and where those lie."""

    base: Mapping[str, Any] | None = None
    base_path: str = ""
    source: Mapping[str, Any] | None = None
    source_path: str = ""


def work_of(
    stage: str, config: Mapping[str, Any], around: Surroundings, *, is_spared: bool = False
) -> Work | None:
    """Return a step's work; None where the stage moves no tokens, or it cannot be told.

    Args:
        stage: Its kind.
        config: Its configuration.
        around: What it stands on.
        is_spared: Whether an evaluation's corpus is encoded by other steps.
    """
    if stage in {"reconstruct", "contrast"}:
        settings = config["reconstruction" if stage == "reconstruct" else "contrastive"]
        return _of_training(settings, around, num_passes=2 if stage == "reconstruct" else 1)
    tokens = None
    if stage in {"evaluate", "embed"} and "lexical" not in config:
        tokens = _of_task(config, around, is_spared=is_spared)
    elif stage == "mine" and config["mining"]["method"] == "dense":
        tokens = _of_ranking(around)
    if tokens is None:
        return None
    return Work(tokens=tokens, flops=product(tokens, parameters(around), Range(2.0, 2.0)))


def _of_training(settings: Mapping[str, Any], around: Surroundings, *, num_passes: int) -> Work:
    """Return the work of a training stage.

    A pass of a token through P parameters is 2 P operations forward; 2 P more give the activations'
    gradients, and 2 P the weights', which LoRA leaves out. Gradient caching adds one pass forward.
    """
    pairs = settings["steps"] * settings["global_batch"]
    query, document = settings["query_length"], settings["document_length"]
    negatives = settings.get("num_negatives", 0)
    lengths = sampled_lengths(around.source_path)
    if lengths is None:
        short, long = query * _SHORTEST_SHARE, query
        low, high = document * _SHORTEST_SHARE, document
    else:
        short, long = (min(query, lengths[0] / one) for one in (CHARACTERS_A_TOKEN.high, 2.0))
        low, high = (min(document, lengths[1] / one) for one in (CHARACTERS_A_TOKEN.high, 2.0))
    tokens = Range(
        num_passes * pairs * (short + (1 + negatives) * low),
        num_passes * pairs * (long + (1 + negatives) * high),
    )
    share = 4.0 if settings["tuning"]["method"] == "lora" else 6.0
    return Work(tokens=tokens, flops=product(tokens, parameters(around), Range(share, share + 2.0)))


def _longest(around: Surroundings) -> float:
    return float((around.base or {}).get("model", {}).get("max_length", 512))


def _of_task(config: Mapping[str, Any], around: Surroundings, *, is_spared: bool) -> Range | None:
    size = size_of_task(config, around.source)
    if size is None:
        return None
    most = size.num_texts * _longest(around)
    whole = Range(most * _SHORTEST_SHARE, most)
    if size.num_characters:
        whole = Range(
            min(most, size.num_characters / CHARACTERS_A_TOKEN.high),
            min(most, size.num_characters / CHARACTERS_A_TOKEN.low),
        )
    # Queries are as long as documents at most: statistics tell the sum of both.
    queries = size.num_queries / max(1, size.num_texts)
    if "num_shards" in config:
        return whole.times((1 - queries) / config["num_shards"], 1 / config["num_shards"])
    return whole.times(queries * _SHORTEST_SHARE, queries) if is_spared and queries else whole


def _of_ranking(around: Surroundings) -> Range | None:
    """Return the tokens of all queries and positives of a source, where it says how many there are."""
    source = around.source or {}
    longest = _longest(around)
    both = Range(2 * longest * _SHORTEST_SHARE, 2 * longest)
    if (entry := training_sets().get(source.get("name", ""))) is not None and entry.pairs:
        return both.times(entry.pairs)
    lengths = sampled_lengths(around.source_path)
    if lengths is None:
        return None
    # At most: lines also have names of fields, and characters more than one byte.
    num_pairs = Path(around.source_path).stat().st_size / max(1.0, sum(lengths))
    low, high = (
        sum(min(one / rate, longest) for one in lengths)
        for rate in (CHARACTERS_A_TOKEN.high, CHARACTERS_A_TOKEN.low)
    )
    return Range(low * num_pairs / 2, high * num_pairs)


def size_of_task(config: Mapping[str, Any], source: Mapping[str, Any] | None) -> TaskSize | None:
    """Return what an evaluation step encodes; 0 characters where only the number of texts is known."""
    size = task_size(_named_like_mteb(config), Limits.of(config))
    if size is None and source is not None and source.get("kind") == "bbc":
        return _size_of_news(task_types().get(config["task"], "Retrieval"), source)
    return size


def _size_of_news(task_type: str, source: Mapping[str, Any]) -> TaskSize:
    """Return what is encoded of held-out articles: in retrieval, headlines and paragraphs."""
    num = source["num_test"]
    if task_type == "Retrieval":
        return TaskSize(num_texts=2 * num, num_characters=0, num_queries=num)
    labelled = source["num_classification_train"] if task_type == "Classification" else 0
    return TaskSize(num_texts=num + labelled, num_characters=0, num_queries=0)


def _named_like_mteb(config: Mapping[str, Any]) -> str:
    """Return mteb's name of a task whose data BEIR has too."""
    task = str(config["task"])
    return beir_tasks().get(task, task) if "dataset" in config else task


def parameters(around: Surroundings) -> Range:
    """Return how many parameters a base has: by its `config.json`, or the size in its name."""
    model = (around.base or {}).get("model", {})
    layers = model.get("num_layers")
    if (exact := _counted(around.base_path, layers)) is not None:
        return Range(exact, exact)
    named = _SIZE_IN_NAME.search(str(model.get("base", "")).replace("_", "-"))
    if named is None:
        return _UNKNOWN_PARAMETERS
    size = float(named[1]) * (1e9 if named[2].lower() == "b" else 1e6)
    # How many layers there are to cut is not known from a name.
    return Range(size * (0.1 if layers else 0.8), size * 1.25)


def model_bytes(around: Surroundings) -> Range:
    """Return what a base's weights take on disk."""
    dtype = (around.base or {}).get("model", {}).get("dtype", "float32")
    return parameters(around).times(_BYTES.get(dtype, 4))


@cache
def _counted(folder: str, layers: int | None) -> float | None:
    """Return the parameters of a decoder by its `config.json`; None where there is none to read."""
    try:
        config = json.loads((Path(folder) / "config.json").read_text()) if folder else {}
        hidden, inner = config["hidden_size"], config["intermediate_size"]
        heads = config["num_attention_heads"]
        share = (config.get("num_key_value_heads") or heads) / heads
        depth = min(layers or config["num_hidden_layers"], config["num_hidden_layers"])
        a_layer = 2 * hidden * hidden * (1 + share) + 3 * hidden * inner
        return float(depth * a_layer + config["vocab_size"] * hidden)
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        return None


@cache
def sampled_lengths(path: str) -> tuple[float, float] | None:
    """Return the mean characters of queries and documents in the first lines of a pair file."""
    queries, documents = [], []
    try:
        if not path.endswith(".jsonl"):
            return None
        with Path(path).open(encoding="utf-8") as file:
            for line in islice(file, _SAMPLED_LINES):
                pair = json.loads(line)
                queries.append(len(pair["query"]))
                documents += [len(text) for text in (pair["positive"], *pair.get("negatives", ()))]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not queries:
        return None
    return sum(queries) / len(queries), sum(documents) / len(documents)
