"""Examples that were there before, exactly or nearly.

Owns the two indexes. The rule: the first of equal examples is kept, in the order of the draws.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from datasketch import MinHash, MinHashLSH

from harness.data.near_duplicates import shingles
from harness.synthesis.answers import Refused

_PERMUTATIONS = 128


class Duplicates:
    """What was kept so far, as hashes.

    Args:
        threshold: Jaccard similarity from which two examples count as one; None to compare exactly
            alone.
    """

    def __init__(self, threshold: float | None) -> None:
        self._exact: dict[bytes, int] = {}
        self._threshold = threshold
        self._near = (
            None if threshold is None else MinHashLSH(threshold=threshold, num_perm=_PERMUTATIONS)
        )
        self._sketches: dict[int, MinHash] = {}

    def refuse_or_add(self, texts: Mapping[str, str], index: int) -> Refused | None:
        """Return why an example is left out; None for one that is new, which is then remembered."""
        text = " ".join(_plain(text) for text in texts.values())
        digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
        if digest in self._exact:
            return Refused(reason="duplicate", detail=f"of draw {self._exact[digest]}")
        if self._near is not None:
            sketch = _sketch(text)
            for other in sorted(self._near.query(sketch)):
                # The index also finds pairs below the threshold; sketches tell.
                similarity = sketch.jaccard(self._sketches[other])
                if similarity >= (self._threshold or 0.0):
                    return Refused(reason="near duplicate", detail=f"of draw {other}: {similarity:.2f}")
            self._near.insert(index, sketch)
            self._sketches[index] = sketch
        self._exact[digest] = index
        return None


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().casefold()


def _sketch(text: str) -> MinHash:
    sketch = MinHash(num_perm=_PERMUTATIONS, seed=1)
    sketch.update_batch(sorted(set(shingles(text))))
    return sketch
