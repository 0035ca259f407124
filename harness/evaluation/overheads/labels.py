"""Classification: the label column is read once, not once a row.

Owns `labels_as_list`. `datasets` hands out columns that go to disk at every index. mteb indexes the
labels of the whole training split ten times over, and scikit-learn walks the test labels some 400
times: 20,000 training and 5,000 test rows take 90 s, of which 1.3 s remain. The rule: only tasks that
use mteb's own two methods are touched, on the object, and they get what they were given before, as a
list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from mteb.abstasks import AbsTaskClassification
from mteb.abstasks.aggregated_task import AbsTaskAggregate


@contextmanager
def labels_as_list(task: Any) -> Iterator[None]:
    """Let a classification task read its labels as a list, until the end of the block."""
    with ExitStack() as stack:
        for part in _parts(task):
            kind = type(part)
            if kind._undersample_data is AbsTaskClassification._undersample_data:
                undersample = _with_label_list(part._undersample_data, part.label_column_name)
                _replace(stack, part, "_undersample_data", undersample)
            if kind._calculate_scores is AbsTaskClassification._calculate_scores:
                _replace(stack, part, "_calculate_scores", _with_listed_truth(part._calculate_scores))
        yield


def _parts(task: Any) -> Iterator[AbsTaskClassification]:
    if isinstance(task, AbsTaskAggregate):
        for part in task.metadata.tasks:
            yield from _parts(part)
    elif isinstance(task, AbsTaskClassification):
        yield task


def _replace(stack: ExitStack, task: Any, name: str, function: Callable[..., Any]) -> None:
    """Hide a method of the class behind a function of the object, for a while."""
    if name not in vars(task):
        setattr(task, name, function)
        stack.callback(vars(task).pop, name, None)


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


def _with_listed_truth(calculate: Callable[..., Any]) -> Callable[..., Any]:
    return lambda y_test, y_pred: calculate(y_test[:], y_pred)
