"""Evaluation texts that stand in training pairs, equal or nearly so.

Owns `TextIndex`, the distinct texts of one side on disk with hashes and signatures, and
`find_overlap`. The rule: memory holds numbers a text (about a hundred bytes while an index is made,
band values of the smaller side while two are compared) and never the texts; the order of the texts
decides nothing but which example is shown. What is equal and what is near is `text_matching`'
affair, which texts a task has is the evaluation's.
"""

from __future__ import annotations

import json
import os
import shutil
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.overlap_settings import Settings
from harness.data.pairs import Pair
from harness.data.text_matching import (
    Signatures,
    candidates,
    jaccard,
    normalise,
    signatures,
    text_hash,
)

Kind = str
KINDS: tuple[Kind, ...] = ("query", "document", "text")
NUM_EXAMPLES = 3
_SHOWN = 200
_CHUNK = 2048
_TEXTS, _NUMBERS, _SIGNATURES = "texts.jsonl", "numbers.npz", "signatures.u32"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextIndex:
    """The distinct texts of one side."""

    folder: Path
    kinds: NDArray[np.uint8]
    """[n] place in `KINDS`."""
    hashes: NDArray[np.uint64]
    """[n] of the normal forms."""
    places: NDArray[np.int64]
    """[n] where the text begins in its file."""
    num_short: dict[Kind, int]
    """Kind -> distinct texts that are too short to be among them."""
    signatures: Signatures
    """[n, permutations], on disk."""

    def text(self, row: int) -> str:
        """Return a text as it was given."""
        with (self.folder / _TEXTS).open("rb") as file:
            file.seek(int(self.places[row]))
            return str(json.loads(file.readline()))


def build_index(folder: Path, texts: Iterable[tuple[Kind, str]], settings: Settings) -> TextIndex:
    """Make an index of texts in a folder, or open the one that is there.

    Args:
        folder: Named after all that decides its content; appears by rename, whole or not at all.
        texts: Kind and text; repeated texts of a kind count once. Not read if the index is there.
        settings: Of the signatures.
    """
    if not folder.is_dir():
        partial = folder.with_name(f".{folder.name}.{os.getpid()}")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            _write_index(partial, texts, settings)
            partial.rename(folder)
        except OSError:
            shutil.rmtree(partial, ignore_errors=True)
            # Another process may have been faster with the same index.
            if not folder.is_dir():
                raise
    numbers = np.load(folder / _NUMBERS)
    num = len(numbers["hashes"])
    shape = (num, settings.permutations)
    stored: Signatures = np.empty(shape, dtype=np.uint32)
    if num:
        stored = np.memmap(folder / _SIGNATURES, dtype=np.uint32, mode="r", shape=shape)
    return TextIndex(
        folder=folder,
        kinds=numbers["kinds"],
        hashes=numbers["hashes"],
        places=numbers["places"],
        num_short=dict(zip(KINDS, map(int, numbers["num_short"]), strict=True)),
        signatures=stored,
    )


def _write_index(folder: Path, texts: Iterable[tuple[Kind, str]], settings: Settings) -> None:
    kinds, hashes, places = array("B"), array("Q"), array("q")
    short = dict.fromkeys(KINDS, 0)
    with (folder / _TEXTS).open("wb") as text_file, (folder / _SIGNATURES).open("wb") as signature_file:
        waiting: list[str] = []
        for kind, text, normal, key in _distinct(texts):
            if len(normal.split()) < settings.min_words:
                short[kind] += 1
                continue
            kinds.append(KINDS.index(kind))
            hashes.append(key)
            places.append(text_file.tell())
            text_file.write(json.dumps(text).encode() + b"\n")
            waiting.append(normal)
            if len(waiting) == _CHUNK:
                signature_file.write(signatures(waiting, settings).tobytes())
                waiting.clear()
        signature_file.write(signatures(waiting, settings).tobytes())
    np.savez(
        folder / _NUMBERS,
        kinds=np.array(kinds, dtype=np.uint8),
        hashes=np.array(hashes, dtype=np.uint64),
        places=np.array(places, dtype=np.int64),
        num_short=np.array([short[kind] for kind in KINDS]),
    )


def _distinct(texts: Iterable[tuple[Kind, str]]) -> Iterator[tuple[Kind, str, str, int]]:
    seen: dict[Kind, set[int]] = {kind: set() for kind in KINDS}
    for kind, text in texts:
        normal = normalise(text)
        key = text_hash(normal)
        if normal and key not in seen[kind]:
            seen[kind].add(key)
            yield kind, text, normal, key


def pair_texts(pairs: Iterable[Pair]) -> Iterator[tuple[Kind, str]]:
    """Yield the texts of training pairs: queries, and positives and negatives as documents."""
    for pair in pairs:
        yield "query", pair.query
        for document in (pair.positive, *pair.negatives):
            yield "document", document


def find_overlap(task: TextIndex, training: TextIndex, settings: Settings) -> list[dict[str, Any]]:
    """Return what of a task's texts stands in training texts, one entry a kind that the task has.

    Returns:
        The fields of `harness.records.overlap.Finding` apart from its `pairs` and `task`.
    """
    found = _Found(task, training)
    found.add_equal()
    found.add_near(settings)
    return [found.describe(kind) for kind in KINDS if found.has(kind)]


class _Found:
    """For each text of a task its best match on each side of the training pairs."""

    def __init__(self, task: TextIndex, training: TextIndex) -> None:
        self.task = task
        self.training = training
        num = len(task.hashes)
        sides = ("query", "document")
        self.match = {side: np.full(num, -1, dtype=np.int64) for side in sides}
        self.similarity = {side: np.zeros(num) for side in sides}

    def has(self, kind: Kind) -> bool:
        return bool((self.task.kinds == KINDS.index(kind)).any()) or self.task.num_short[kind] > 0

    def add_equal(self) -> None:
        """Find equal normal forms by their hashes."""
        for side, match in self.match.items():
            rows = np.flatnonzero(self.training.kinds == KINDS.index(side))
            order = rows[np.argsort(self.training.hashes[rows], kind="stable")]
            if not len(order):
                continue
            known = self.training.hashes[order]
            place = np.minimum(np.searchsorted(known, self.task.hashes), len(known) - 1)
            is_equal = known[place] == self.task.hashes
            match[is_equal] = order[place[is_equal]]
            self.similarity[side][is_equal] = 1.0

    def add_near(self, settings: Settings) -> None:
        """Find near duplicates through the signatures, the larger side block by block."""
        ours, theirs = self.task.signatures, self.training.signatures
        if not len(ours) or not len(theirs):
            return
        is_task_smaller = len(ours) <= len(theirs)
        small, large = (ours, theirs) if is_task_smaller else (theirs, ours)
        for pairs in candidates(np.asarray(small), large, settings):
            for first, second in pairs:
                row, other = (first, second) if is_task_smaller else (second, first)
                self._look_at(int(row), int(other), settings)

    def _look_at(self, row: int, other: int, settings: Settings) -> None:
        side = KINDS[self.training.kinds[other]]
        best = self.similarity[side]
        if best[row] == 1.0:
            return
        texts = (normalise(self.task.text(row)), normalise(self.training.text(other)))
        similarity = jaccard(*texts, size=settings.shingle)
        if similarity >= settings.threshold and similarity > best[row]:
            best[row] = similarity
            self.match[side][row] = other

    def describe(self, kind: Kind) -> dict[str, Any]:
        """Return the counts and the first examples of a kind."""
        is_kind = self.task.kinds == KINDS.index(kind)
        hashes = self.training.hashes
        is_equal = np.zeros(len(is_kind), dtype=bool)
        is_found = np.zeros(len(is_kind), dtype=bool)
        for match in self.match.values():
            is_matched = match >= 0
            is_found |= is_matched
            is_equal[is_matched] |= hashes[match[is_matched]] == self.task.hashes[is_matched]
        near = is_kind & is_found & ~is_equal
        shown = np.concatenate(
            [np.flatnonzero(is_kind & is_equal)[:NUM_EXAMPLES], np.flatnonzero(near)[:NUM_EXAMPLES]]
        )
        return {
            "kind": kind,
            "num_texts": int(is_kind.sum()),
            "num_short": self.task.num_short[kind],
            "num_exact": int((is_kind & is_equal).sum()),
            "num_near": int(near.sum()),
            "num_in_queries": int((is_kind & (self.match["query"] >= 0)).sum()),
            "num_in_documents": int((is_kind & (self.match["document"] >= 0)).sum()),
            "examples": [self._example(int(row)) for row in shown],
        }

    def _example(self, row: int) -> dict[str, Any]:
        side = max(self.match, key=lambda one: self.similarity[one][row])
        return {
            "text": _shortened(self.task.text(row)),
            "found": _shortened(self.training.text(int(self.match[side][row]))),
            "side": side,
            "similarity": round(float(self.similarity[side][row]), 4),
        }


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
