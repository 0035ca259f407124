"""Clustering: k-means on one thread, since its many small steps wait for threads longer than they run.

Owns `single_threaded_clustering`. Between two parallel sections OpenMP's threads spin; mini-batch
k-means has thousands of sections of microseconds, and beside torch's own threads they spin against each
other: 20 to 39 s for what takes one thread 1.1 s. The rule: the numbers are scikit-learn's, and encoding
keeps all its threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import mteb._evaluators.clustering_evaluator as legacy
import mteb.abstasks.clustering as fast
from sklearn.cluster import MiniBatchKMeans
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]


class SingleThreadedKMeans(MiniBatchKMeans):
    """scikit-learn's mini-batch k-means, which fits on one thread."""

    def fit(self, *arguments: Any, **keywords: Any) -> SingleThreadedKMeans:
        """Fit as `MiniBatchKMeans.fit`."""
        with threadpool_limits(limits=1):
            super().fit(*arguments, **keywords)
        return self


@contextmanager
def single_threaded_clustering() -> Iterator[None]:
    """Give mteb's two kinds of clustering tasks the single-threaded k-means, until the block ends."""
    before = fast.MiniBatchKMeans, legacy.cluster
    fast.MiniBatchKMeans = SingleThreadedKMeans
    legacy.cluster = SimpleNamespace(MiniBatchKMeans=SingleThreadedKMeans)
    try:
        yield
    finally:
        fast.MiniBatchKMeans, legacy.cluster = before
