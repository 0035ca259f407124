"""What an evaluation may not leave behind, and what may not slow it down.

Owns the guards around a run of mteb: the state of the random generators (every mteb task and evaluator
seeds the global ones), the number of threads, and labels read as a list. The rule: a guard changes
nothing about a score.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mteb.abstasks import AbsTaskClassification
from mteb.abstasks.aggregated_task import AbsTaskAggregate
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


def read_labels_as_list(task: Any) -> None:
    """Let a classification task read its label column once instead of once a row.

    `datasets` hands out columns that go to disk at every index, and mteb indexes the labels of the whole
    training split ten times over and walks the test labels some 400 times: a minute for 13,000 rows.
    Only tasks that use mteb's own two methods are touched, on the object, so the scores stay what they
    are.
    """
    if isinstance(task, AbsTaskAggregate):
        for part in task.metadata.tasks:
            read_labels_as_list(part)
    # The parts of an aggregate are shared by all its objects, so they may come here again.
    if not isinstance(task, AbsTaskClassification) or "_calculate_scores" in vars(task):
        return
    kind = type(task)
    if kind._undersample_data is AbsTaskClassification._undersample_data:
        task._undersample_data = _with_label_list(task._undersample_data, task.label_column_name)
    if kind._calculate_scores is AbsTaskClassification._calculate_scores:
        calculate = task._calculate_scores
        task._calculate_scores = lambda y_test, y_pred: calculate(y_test[:], y_pred)


class _ListedLabels:
    """A dataset whose label column is a list; all else is the dataset's own."""

    def __init__(self, dataset: Any, column: str) -> None:
        self._dataset = dataset
        self._column = column

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, key: Any) -> Any:
        found = self._dataset[key]
        return found[:] if key == self._column else found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)


def _with_label_list(undersample: Callable[..., Any], column: str) -> Callable[..., Any]:
    def undersample_listed(dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return undersample(_ListedLabels(dataset, column), *args, **kwargs)

    return undersample_listed
