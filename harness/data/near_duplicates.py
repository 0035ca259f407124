"""Texts that resemble an earlier text, by MinHash.

Owns signatures and the search by bands. The rule: texts are read once and in order, signatures lie in
a file of which one band at a time is held, and the answer depends on texts and settings alone. MinHash
itself is datasketch's.

The share of equal values of two signatures estimates the Jaccard similarity of two texts' shingles
(Broder 1997); signatures are cut into bands, and only texts that agree in a whole band are compared
(Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, chapter 3).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from datasketch import MinHash
from datasketch.lsh import _optimal_param

SHINGLE = 3
"""Words a shingle."""
_SEED = 1
_BATCH = 2048


def shingles(text: str) -> list[bytes]:
    """Return a text's word trigrams, case and white space apart; the words themselves if it has fewer.

    Scripts without spaces are cut into character trigrams inside each run without a space.
    """
    words = text.casefold().split()
    if len(words) < SHINGLE:
        # A lone word may be a whole text where words are not spaced.
        joined = "".join(words)
        pieces = [joined[first : first + SHINGLE] for first in range(max(1, len(joined) - SHINGLE + 1))]
        return [piece.encode("utf-8", "surrogatepass") for piece in pieces]
    return [
        " ".join(words[first : first + SHINGLE]).encode("utf-8", "surrogatepass")
        for first in range(len(words) - SHINGLE + 1)
    ]


def signatures(texts: Iterable[str], *, permutations: int) -> Iterator[np.ndarray]:
    """Yield the MinHash signature of each text [permutations]."""
    waiting = iter(texts)
    while batch := list(islice(waiting, _BATCH)):
        for found in MinHash.generator(
            [shingles(text) for text in batch], num_perm=permutations, seed=_SEED
        ):
            yield np.asarray(found.hashvalues)


def bands_of(permutations: int, similarity: float) -> tuple[int, int]:
    """Return the number of bands and of rows a band that separate best at a similarity.

    Missing a pair and looking at one in vain count alike.
    """
    bands, rows = _optimal_param(similarity, permutations, 0.5, 0.5)
    return int(bands), int(rows)


def later_duplicates(
    texts: Iterable[str], *, similarity: float, permutations: int, folder: Path | None = None
) -> np.ndarray:
    """Return which texts resemble an earlier one that is kept [texts, bool].

    Args:
        texts: Read once, in order.
        similarity: Jaccard similarity from which on the later one is a duplicate.
        permutations: Hash functions; the estimate's standard error is at most 0.5 / sqrt(permutations).
        folder: Where signatures lie meanwhile; the system's folder for such files when None.
    """
    with tempfile.TemporaryDirectory(dir=folder) as place:
        path = Path(place) / "signatures"
        num_texts = 0
        with path.open("wb") as file:
            for found in signatures(texts, permutations=permutations):
                file.write(found.astype(np.uint32).tobytes())
                num_texts += 1
        if num_texts == 0:
            return np.zeros(0, dtype=bool)
        table = np.memmap(path, dtype=np.uint32, mode="r", shape=(num_texts, permutations))
        is_later = np.zeros(num_texts, dtype=bool)
        pairs = _candidates(table, similarity)
        for earlier, later in pairs:
            if is_later[earlier] or is_later[later]:
                continue
            if float(np.mean(table[earlier] == table[later])) >= similarity:
                is_later[later] = True
        del table
    return is_later


def _candidates(table: np.ndarray, similarity: float) -> list[tuple[int, int]]:
    """Return pairs of texts that agree in a band, by the earlier and then the later text.

    In a group of n that agree, each is compared with the group's first and with the one before it, not
    with all others: a corpus full of copies would have n^2 of them.
    """
    bands, rows = bands_of(table.shape[1], similarity)
    found: set[tuple[int, int]] = set()
    for band in range(bands):
        block = np.ascontiguousarray(table[:, band * rows : (band + 1) * rows])
        _, group = np.unique(block, axis=0, return_inverse=True)
        order = np.argsort(group, kind="stable")
        same = group[order][1:] == group[order][:-1]
        first = 0
        for place in np.flatnonzero(same).tolist():
            if place == 0 or not same[place - 1]:
                first = int(order[place])
            later = int(order[place + 1])
            found.add((first, later))
            found.add((int(order[place]), later))
    return sorted(found)
