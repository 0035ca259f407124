"""Public training sets of the Hugging Face hub, row by row.

Owns which configurations and splits of a repository a catalogue entry means, and the reading of their
rows. The rule: every pattern of an entry must mean at least one split, and what there is instead is
told; rows are streamed, so that a set larger than memory can be read. Where the repository lies (hub
or mirror) is decided by whoever calls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

from harness.data.formats import Layout, read_row
from harness.data.pairs import Pair
from harness.errors import DataError
from harness.identity import derive_seed
from harness.study.training_sets import TrainingSet


def read_hub_set(
    name: str, entry: TrainingSet, *, revision: str, ignored: Counter[str] | None = None
) -> Iterator[Pair]:
    """Yield the pairs of a catalogue entry.

    Args:
        name: The entry's name, which becomes the pairs' dataset.
        entry: What the catalogue says of it.
        revision: Commit of the repository.
        ignored: Counts the rows of columns that were passed over.

    Raises:
        DataError: When the repository has no such split, or a row is no pair.
    """
    import datasets

    layout = Layout(columns=entry.columns, dataset=name)
    for config in _configurations(entry, revision):
        splits = datasets.get_dataset_split_names(entry.hub, config, revision=revision)
        for split in match_names(splits, entry.splits, kind="split", where=f"{entry.hub} ({config})"):
            rows = datasets.load_dataset(
                entry.hub, config, split=split, revision=revision, streaming=True
            )
            for number, row in enumerate(rows):
                where = f"{entry.hub}, {split}: row {number}"
                for pair in read_row(row, layout, where=where, ignored=ignored):
                    yield _completed(pair, name, entry.instructions)


def _configurations(entry: TrainingSet, revision: str) -> list[str]:
    import datasets

    names = datasets.get_dataset_config_names(entry.hub, revision=revision)
    return match_names(names, entry.configs, kind="configuration", where=entry.hub)


def match_names(names: Sequence[str], patterns: Sequence[str], *, kind: str, where: str) -> list[str]:
    """Return the names that any pattern means, in their order.

    Raises:
        DataError: When none does, with the names that there are.
    """
    found = [name for name in names if any(fnmatchcase(name.lower(), one) for one in patterns)]
    if not found:
        raise DataError(
            f"{where}: no {kind} is called {' or '.join(patterns)}",
            cure=f"There are: {', '.join(names)}. A local copy can be a source of kind `files`.",
        )
    return found


def _completed(pair: Pair, dataset: str, instructions: Sequence[str]) -> Pair:
    """Return the pair with the set's name and, where it has no instruction, one of the set's."""
    instruction: Any = pair.instruction
    if not instruction and instructions:
        # Chosen by the query, so that neither order nor share of the set changes it.
        instruction = instructions[derive_seed("instruction", pair.query) % len(instructions)]
    return Pair(
        query=pair.query,
        positive=pair.positive,
        negatives=pair.negatives,
        dataset=dataset,
        instruction=instruction or None,
    )
