"""What an evaluation may not leave behind, and what may not slow it down.

Owns the guards around a run of mteb: the state of the random generators (every mteb task and evaluator
seeds the global ones), the number of threads, and progress bars. The rule: a guard changes nothing about
a score. What mteb wastes is left to `overheads`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from tqdm.std import tqdm  # type: ignore[import-untyped]


@contextmanager
def preserved_random_state() -> Iterator[None]:
    """Give Python's, numpy's and torch's global generators back as they were."""
    python_state = random.getstate()
    numpy_state = np.random.get_state()
    torch_state = torch.get_rng_state()
    cuda_states = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)
        if cuda_states:
            torch.cuda.set_rng_state_all(cuda_states)


@contextmanager
def limited_threads(threads: int | None) -> Iterator[None]:
    """Hold torch, BLAS and OpenMP to `threads`; None leaves them alone."""
    if threads is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(limits=threads):
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def without_bars() -> Iterator[None]:
    """Keep progress bars quiet: a log is read later, and a library's bars know no off switch."""
    original = tqdm.__init__

    def start_disabled(bar: Any, *args: Any, **settings: Any) -> None:
        original(bar, *args, **{**settings, "disable": True})

    tqdm.__init__ = start_disabled
    try:
        yield
    finally:
        tqdm.__init__ = original
