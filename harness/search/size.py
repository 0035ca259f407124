"""How many numbers a model's last stage trained, from its folder.

Owns the count. The rule: it is read from the headers of the weights, which nothing is loaded for.
"""

from __future__ import annotations

import json
import math
from pathlib import Path


def count_trained(folder: Path) -> int:
    """Return how many numbers a stage trained: its adapter's, or all of the weights'.

    Args:
        folder: A model folder.
    """
    adapter = sorted(folder.glob("adapter/*.safetensors"))
    return sum(_count(path) for path in adapter or sorted(folder.glob("*.safetensors")))


def _count(path: Path) -> int:
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
