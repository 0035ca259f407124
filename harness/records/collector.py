"""The garbage collector, out of the way while many records or cells are made.

Owns `without_collector`. The rule: only work that makes plain values in large numbers runs in it. These
refer to nothing that refers back to them, so that looking for cycles among them, again and again as
their number grows, finds nothing and takes up to half of the time.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collector() -> Iterator[None]:
    """Keep the collector from running inside a block or, as a decorator, a function."""
    was_running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_running:
            # What was made is old now, without a first search through all of it.
            gc.freeze()
            gc.unfreeze()
            gc.enable()
