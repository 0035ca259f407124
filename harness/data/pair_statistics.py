"""What a set of pairs holds, in numbers.

Owns `statistics.json` beside a source's pair sets. The rule: one pass over the pairs, in bounded memory,
and the same file for the same pairs. Lengths are counted in characters and words, since tokens belong to
a model.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.languages import language_of
from harness.data.pairs import Pair

STATISTICS_NAME = "statistics.json"
_QUANTILES = (0.5, 0.95, 1.0)
_FIRST, _EVERY = 1000, 50
"""Languages are counted over a dataset's first pairs and over each so-manieth after: it is slow."""
_LISTED = 20
"""Languages that are listed, the most frequent first."""


@dataclass(slots=True, kw_only=True)
class _Dataset:
    """What was counted of one dataset."""

    query_lengths: array[int] = field(default_factory=lambda: array("q"))
    positive_lengths: array[int] = field(default_factory=lambda: array("q"))
    words: int = 0
    with_negatives: int = 0
    negatives: int = 0
    instructions: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    """Of positives, of every `_EVERY`-th pair at least."""
    hashes: array[int] = field(default_factory=lambda: array("q"))
    """Of query and positive by turns."""

    def add(self, pair: Pair) -> None:
        if len(self.query_lengths) < _FIRST or len(self.query_lengths) % _EVERY == 0:
            self.languages[language_of(pair.positive)] += 1
        self.query_lengths.append(len(pair.query))
        self.positive_lengths.append(len(pair.positive))
        self.words += len(pair.query.split()) + len(pair.positive.split())
        self.with_negatives += bool(pair.negatives)
        self.negatives += len(pair.negatives)
        self.instructions[pair.instruction or ""] += 1
        self.hashes.extend((_hash(pair.query), _hash(pair.positive)))


def _hash(text: str) -> int:
    plain = " ".join(text.casefold().split())
    return int.from_bytes(
        hashlib.blake2b(plain.encode("utf-8"), digest_size=8).digest(), "big", signed=True
    )


def describe_pairs(pairs: Iterable[Pair]) -> dict[str, Any]:
    """Return the numbers of a set: as a whole under `all`, and by dataset under `datasets`.

    `languages` counts a sample of the positives, `duplicate_queries` the pairs whose query an earlier
    pair has, `duplicate_pairs` those whose query and positive both are an earlier pair's, apart from
    case and white space.
    """
    found: dict[str, _Dataset] = {}
    for pair in pairs:
        found.setdefault(pair.dataset, _Dataset()).add(pair)
    whole = _Dataset()
    for counted in found.values():
        whole.query_lengths += counted.query_lengths
        whole.positive_lengths += counted.positive_lengths
        whole.words += counted.words
        whole.with_negatives += counted.with_negatives
        whole.negatives += counted.negatives
        whole.instructions += counted.instructions
        whole.languages += counted.languages
        whole.hashes += counted.hashes
    return {
        "all": _numbers(whole),
        "datasets": {name: _numbers(found[name]) for name in sorted(found)},
    }


def write_statistics(folder: Path, sets: dict[str, Iterable[Pair]], **about: Any) -> None:
    """Write the numbers of a source's pair sets, with what else is to be known of it."""
    plain = {"sets": {name: describe_pairs(pairs) for name, pairs in sets.items()}, **about}
    text = json.dumps(plain, indent=1, ensure_ascii=False)
    (folder / STATISTICS_NAME).write_text(text + "\n", encoding="utf-8")


def _numbers(counted: _Dataset) -> dict[str, Any]:
    hashes = np.frombuffer(counted.hashes, dtype=np.int64).reshape(-1, 2)
    num_pairs = len(hashes)
    return {
        "pairs": num_pairs,
        "words": counted.words,
        "query_characters": _spread(counted.query_lengths),
        "positive_characters": _spread(counted.positive_lengths),
        "with_hard_negatives": counted.with_negatives,
        "hard_negatives": counted.negatives,
        "duplicate_queries": num_pairs - len(np.unique(hashes[:, 0])),
        "duplicate_pairs": num_pairs - len(np.unique(_joined(hashes))),
        "languages": _most_common(counted.languages),
        "instructions": {text: number for text, number in sorted(counted.instructions.items()) if text},
    }


def _most_common(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_LISTED])


def _joined(hashes: np.ndarray) -> np.ndarray:
    """Return one hash a pair [pairs]: much faster to sort than rows of two."""
    joined: np.ndarray = hashes[:, 0] * np.int64(0x9E3779B97F4A7C1) + hashes[:, 1]
    return joined


def _spread(lengths: array[int]) -> dict[str, float]:
    values = np.quantile(lengths, _QUANTILES) if lengths else np.zeros(len(_QUANTILES))
    return dict(zip(("median", "p95", "max"), (round(float(value), 1) for value in values), strict=True))
