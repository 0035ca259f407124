"""A deterministic embedder without a network: words hashed into a fixed random matrix."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

_BUCKETS = 4096


class ToyEmbedder:
    """Encodes a text as the normalised sum of its words' fixed random vectors.

    Args:
        poison: Texts with this word get a NaN.
        arithmetic: What vectors depend on besides the text; empty for the texts encoded with it.
    """

    def __init__(
        self, *, dimension: int = 48, weights_id: str = "toy", poison: str = "", arithmetic: str = ""
    ) -> None:
        self.dimension = dimension
        self.weights_id = weights_id
        self.max_length = 512
        self.num_tokens = 0
        self.arithmetic = arithmetic
        self.calls: list[list[str]] = []
        self._poison = poison
        self._matrix = np.random.default_rng(0).standard_normal((_BUCKETS, dimension))

    @property
    def num_encoded(self) -> int:
        """Texts encoded so far."""
        return sum(len(call) for call in self.calls)

    def encode(self, texts: Sequence[str], *, prompt: str = "", normalize: bool = True) -> np.ndarray:
        prompted = [prompt + text for text in texts]
        self.calls.append(prompted)
        vectors = np.stack([self._vector(text) for text in prompted]).astype(np.float32)
        if normalize:
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        for row, text in enumerate(prompted):
            if self._poison and self._poison in text:
                vectors[row, 0] = np.nan
        return vectors

    def _vector(self, text: str) -> np.ndarray:
        words = text.lower().split()
        self.num_tokens += len(words) + 1
        digests = (hashlib.blake2b(word.encode(), digest_size=2).digest() for word in words)
        return self._matrix[[0, *(int.from_bytes(digest) % _BUCKETS for digest in digests)]].sum(axis=0)
