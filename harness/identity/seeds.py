"""Seeds derived from the components that a random draw may depend on.

Owns `derive_seed`. The rule: variants that share a component share its random draws, so that data
order and negatives are paired between the cells of a comparison by construction.
"""

from __future__ import annotations

from typing import Any

from harness.identity.canonical import fingerprint


def derive_seed(*components: Any) -> int:
    """Return a seed in [0, 2**63) that depends on `components` and on nothing else."""
    return int(fingerprint(list(components))[:16], 16) >> 1
