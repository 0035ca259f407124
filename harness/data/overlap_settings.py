"""What counts as found when evaluation texts are looked for in training texts.

Owns `Settings`. The rule: they are part of a comparison's identity, and stand beside its result. Nothing
heavy is imported here, since plans are made from them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What counts as found."""

    threshold: float = 0.8
    """Jaccard similarity of two texts' shingles from which they are near duplicates."""
    permutations: int = 128
    """Length of a signature."""
    shingle: int = 2
    """Words a shingle."""
    min_words: int = 3
    """Shorter texts say nothing by being found, and are counted apart."""
