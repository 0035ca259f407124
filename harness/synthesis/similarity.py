"""The embedder's gate: the positive must be nearer to the query than the negative.

Owns the use of an `Embedder` on single examples. The rule: texts are compared as they are, without
instructions, and the cosines are in the drop's detail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.synthesis.answers import Refused
from harness.synthesis.document import EmbedderGate

if TYPE_CHECKING:
    from harness.synthesis.gates import Example

Encode = Callable[[Sequence[str]], np.ndarray]
"""Texts -> unit vectors [texts, dimension]."""


class Similarity:
    """A gate of cosines.

    Args:
        settings: How much nearer, and how near.
        encode: The embedder's function.
    """

    def __init__(self, settings: EmbedderGate, encode: Encode) -> None:
        self._settings = settings
        self._encode = encode

    @classmethod
    def load(cls, settings: EmbedderGate, *, folder: Path) -> Similarity:
        """Load the model folder that the settings name, relative to `folder`.

        Raises:
            DataError: When it cannot be loaded.
            ProbeError: When it gives other vectors than the one that was saved.
        """
        from harness.models.embedder import Embedder

        return cls(settings, Embedder.load(folder / settings.model).encode)

    def refuse(self, example: Example) -> Refused | None:
        """Return why an example is dropped; None for one that passes."""
        query, positive = example.by_role("query")[0], example.by_role("positive")[0]
        negatives = example.by_role("negative")
        vectors = self._encode([query, positive, *negatives])
        cosines = (vectors[1:] @ vectors[0]).astype(float)
        nearest = max(cosines[1:], default=-np.inf)
        if cosines[0] < self._settings.min_positive or cosines[0] < nearest + self._settings.margin:
            return Refused(
                reason="negative too close", detail=f"positive {cosines[0]:.3f}, negative {nearest:.3f}"
            )
        return None
