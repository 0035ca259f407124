"""What mteb spends beside encoding, taken away without touching a score.

Owns `without_overheads`, under which one task runs, and the version of mteb that its measures were made
for. The rule: a measure is thin, ends with the block, and a test holds its scores against stock mteb's;
under another version than the one tested, mteb runs as it is. Each measure is a module of its own here,
and `docs/upstream/mteb.md` describes them as changes that mteb could take. What encoding costs is left
to `harness.models` and the embedding cache.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import metadata
from typing import Any

from mteb.abstasks import AbsTaskRetrieval
from mteb.abstasks.aggregated_task import AbsTaskAggregate
from mteb.models import EncoderProtocol

from harness.evaluation.overheads.clustering import single_threaded_clustering
from harness.evaluation.overheads.labels import labels_as_list
from harness.evaluation.overheads.search import StreamingSearch

TESTED = "2.26."
"""Beginning of the versions of mteb whose code the measures were read and tested against."""

_log = logging.getLogger(__name__)


@contextmanager
def without_overheads(model: Any, task: Any) -> Iterator[Any]:
    """Spare one run of one task what mteb would waste.

    Args:
        model: What would be given to `mteb.evaluate`.
        task: The task, its data loaded.

    Yields:
        What to give to `mteb.evaluate` in place of `model`.
    """
    version = metadata.version("mteb")
    if not version.startswith(TESTED):
        _log.warning("mteb %s is not the tested %sx: it runs as it is, only slower", version, TESTED)
        yield model
        return
    with ExitStack() as stack:
        stack.enter_context(labels_as_list(task))
        stack.enter_context(single_threaded_clustering())
        can_stream = _is_search(task) and isinstance(model, EncoderProtocol)
        yield StreamingSearch(model) if can_stream else model


def _is_search(task: Any) -> bool:
    if isinstance(task, AbsTaskAggregate):
        return all(_is_search(part) for part in task.metadata.tasks)
    return isinstance(task, AbsTaskRetrieval)
