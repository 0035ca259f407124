"""Where the vectors of texts lie, by the hashes of the texts, in a few bytes a text.

Owns `TextIndex`. The rule: memory is 24 bytes a text, whatever the text, and looking up many at once
costs a few binary searches each, so that a corpus of millions can be asked for chunk by chunk. Runs of
sorted hashes double in size as they are added to, as in a log-structured tree. Files are left to
`embeddings`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint8]
"""SHA-256 of each text [texts, 32]."""


class TextIndex:
    """Text hash -> segment and row."""

    def __init__(self) -> None:
        # Of each run: 64 bits of the hash, sorted; 64 more, to be sure; the place.
        self._runs: list[tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.int64]]] = []

    def add(self, keys: Keys, *, segment: int) -> None:
        """Add the texts of a segment, in the order of its rows."""
        words = _words(keys)
        places = (np.int64(segment) << 32) | np.arange(len(keys), dtype=np.int64)
        run = (words[:, 0], words[:, 1], places)
        # A run as large as the one before it is merged with it, so that there are few.
        while self._runs and len(self._runs[-1][0]) <= 2 * len(run[0]):
            last = self._runs.pop()
            run = tuple(np.concatenate(pair) for pair in zip(last, run, strict=True))  # type: ignore[assignment]
        order = np.argsort(run[0], kind="stable")
        self._runs.append((run[0][order], run[1][order], run[2][order]))

    def find(self, keys: Keys) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return segment and row of each text; -1 where it is not there."""
        words = _words(keys)
        places = np.full(len(keys), -1, dtype=np.int64)
        for first, second, found in self._runs:
            at = np.searchsorted(first, words[:, 0])
            at[at == len(first)] = 0
            is_same = (first[at] == words[:, 0]) & (second[at] == words[:, 1])
            places = np.where(is_same, found[at], places)
        return np.where(places < 0, -1, places >> 32), np.where(places < 0, -1, places & 0xFFFFFFFF)


def _words(keys: Keys) -> NDArray[np.uint64]:
    return np.ascontiguousarray(keys[:, :16]).view(np.uint64)
