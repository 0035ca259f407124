from __future__ import annotations

import contextlib
import io
import random

import mteb
import numpy as np
import torch
from tqdm.auto import tqdm  # type: ignore[import-untyped]

from harness.evaluation.isolation import (
    limited_threads,
    preserved_random_state,
    without_bars,
)


def _draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(1))


def test_random_generators_go_on_as_if_nothing_had_drawn_from_them() -> None:
    state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    expected = _draws()
    random.setstate(state[0])
    np.random.set_state(state[1])
    torch.set_rng_state(state[2])
    with contextlib.suppress(KeyError), preserved_random_state():
        mteb.get_task("STSBenchmark")
        _draws()
        mteb.get_task("no such task")
    assert _draws() == expected


def test_threads_are_limited_and_given_back() -> None:
    before = torch.get_num_threads()
    with limited_threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
    with limited_threads(None):
        assert torch.get_num_threads() == before


def test_bars_are_quiet_only_inside() -> None:
    def shown() -> str:
        stream = io.StringIO()
        list(tqdm([1, 2], file=stream, disable=False, mininterval=0))
        return stream.getvalue()

    with without_bars():
        assert shown() == ""
    assert "2/2" in shown()
