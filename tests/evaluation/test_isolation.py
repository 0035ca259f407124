from __future__ import annotations

import contextlib
import io
import random

import datasets
import mteb
import numpy as np
import torch
from tqdm.auto import tqdm  # type: ignore[import-untyped]

from harness.evaluation.isolation import (
    limited_threads,
    preserved_random_state,
    read_labels_as_list,
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


def test_labels_read_as_a_list_give_the_same_sample_and_the_same_scores() -> None:
    labels = np.random.default_rng(0).integers(0, 5, size=300).tolist()
    data = datasets.Dataset.from_dict({"text": [str(n) for n in range(300)], "label": labels})
    predicted = np.random.default_rng(1).integers(0, 5, size=300)
    stock, ours = (mteb.get_task("Banking77Classification") for _ in range(2))
    read_labels_as_list(ours)
    indices: dict[str, list[int] | None] = {"stock": None, "ours": None}
    for experiment in range(3):
        results = {}
        for name, task in (("stock", stock), ("ours", ours)):
            sample, indices[name], chosen = task._undersample_data(data, experiment, indices[name])
            results[name] = (list(sample["text"]), list(indices[name] or ()), chosen)
        assert results["stock"] == results["ours"]
    assert stock._calculate_scores(data["label"], predicted) == ours._calculate_scores(
        data["label"], predicted
    )


def test_tasks_that_are_no_plain_classification_are_left_alone() -> None:
    for name in ("STSBenchmark", "SciFact", "CQADupstackRetrieval"):
        read_labels_as_list(mteb.get_task(name))
