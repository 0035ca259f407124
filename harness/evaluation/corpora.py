"""A large corpus in parts, so that several workers may encode it and each may start again.

Owns `encode_shard`. The rule: a shard leaves nothing but vectors in the cache, under the very keys that
the evaluation asks for later, so that a score is the same with any number of shards, or none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import dropwhile, islice
from pathlib import Path
from typing import Any

from harness.evaluation.beir_data import corpus_lines, read_document
from harness.evaluation.catalogue import parts_of
from harness.evaluation.encoder import StudyEncoder
from harness.evaluation.isolation import preserved_random_state, without_bars
from harness.evaluation.mirror import use_mirrors
from harness.evaluation.overheads.search import CHUNK_DOCUMENTS, corpus_texts
from harness.evaluation.task_data import load_task
from harness.study.benchmarks import Limits

_PART_DOCUMENTS = 4096

Texts = Callable[[int, int], Sequence[str]]
"""The texts of some documents of a corpus, first to before last, which are asked for in their order."""


def encode_shard(
    encoder: StudyEncoder,
    corpora: Iterable[tuple[int, Texts]],
    *,
    task: str,
    shard: int,
    num_shards: int,
) -> int:
    """Encode every n-th part of some corpora into the encoder's cache.

    Args:
        encoder: A variant, with a cache.
        corpora: Number of documents and their texts.
        task: For messages.
        shard: Which of the shards, from 0.
        num_shards: How many there are.

    Returns:
        The number of documents looked at.

    Raises:
        ProbeError: If the model's embeddings are not finite or of another dimension.
    """
    # Where vectors depend on their company, the parts are those that the search will ask for.
    size = _PART_DOCUMENTS if encoder.is_alone else CHUNK_DOCUMENTS
    done, number = 0, 0
    for num_documents, texts in corpora:
        for first in range(0, num_documents, size):
            if number % num_shards == shard:
                last = min(first + size, num_documents)
                encoder.encode_texts(texts(first, last), side="document", task=task)
                done += last - first
            number += 1
    return done


def mteb_corpora(task: str, *, mirrors: Sequence[Path], limits: Limits) -> Iterator[tuple[int, Texts]]:
    """Return the corpora of a retrieval task of mteb, each once.

    Raises:
        DataError: If the task is unknown or its data is not there or not what the task needs.
    """
    with preserved_random_state(), without_bars(), use_mirrors(mirrors):
        for part in parts_of(load_task(task, mirrors, limits)):
            part.load_data()
            part.convert_v1_dataset_format_to_v2(None)
            for splits in part.dataset.values():
                for data in splits.values():
                    yield len(data["corpus"]), _rows(data["corpus"])
            part.unload_data()


def beir_corpora(dataset: str, *, folder: Path) -> Iterator[tuple[int, Texts]]:
    """Return the corpus of a BEIR folder. Its texts are read in their order and not kept.

    Raises:
        DataError: If the corpus is not there or cannot be scored as it is.
    """
    num_documents = sum(1 for _ in corpus_lines(dataset, folder))
    lines = enumerate(corpus_lines(dataset, folder))

    def texts(first: int, last: int) -> list[str]:
        wanted = islice(dropwhile(lambda one: one[0] < first, lines), last - first)
        return [read_document(line, dataset) for _, line in wanted]

    yield num_documents, texts


def _rows(corpus: Any) -> Texts:
    return lambda first, last: corpus_texts(corpus.select(range(first, last)))
