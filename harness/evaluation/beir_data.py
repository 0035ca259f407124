"""A BEIR folder, read with BEIR's own loader and checked.

Owns `load_beir`. The rule: what BEIR's loader or search would trip over, or would score wrongly without
a word, is mended where the meaning is plain (a document without a title has an empty one) and refused
where it is not.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beir.datasets.data_loader import GenericDataLoader

from harness.errors import DataError

FILES = ("corpus.jsonl", "queries.jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class BeirData:
    """One split of a BEIR dataset."""

    folder: Path
    corpus: dict[str, dict[str, str]]
    """Document id -> title and text."""
    queries: dict[str, str]
    """Query id -> text; only queries with judgements."""
    qrels: dict[str, dict[str, int]]
    """Query id -> document id -> grade."""


def load_beir(dataset: str, folder: Path, *, split: str = "test") -> BeirData:
    """Read one split of a BEIR dataset.

    Args:
        dataset: Name of the dataset.
        folder: The dataset's folder (corpus.jsonl, queries.jsonl, qrels/), or one that holds it under
            the dataset's name.
        split: Name of the file under qrels/.

    Raises:
        DataError: If files are missing or damaged, if a text is missing, if nothing is judged, or if a
            query's own id is the id of its relevant document (BEIR drops such hits from every ranking).
    """
    folder = folder if (folder / FILES[0]).exists() else folder / dataset
    _check_files(folder, split)
    try:
        corpus, queries, qrels = GenericDataLoader(data_folder=str(folder)).load(split=split)
    except KeyError as error:
        raise DataError(
            f"{folder}: qrels/{split}.tsv judges query {error}, which queries.jsonl lacks"
        ) from error
    except (json.JSONDecodeError, ValueError, IndexError, StopIteration) as error:
        raise DataError(f"{folder}: not a BEIR dataset: {type(error).__name__}: {error}") from error
    data = BeirData(folder=folder, corpus=_with_titles(corpus, folder), queries=queries, qrels=qrels)
    _check_meaning(data, split)
    return data


def _check_files(folder: Path, split: str) -> None:
    # The loader shows an example of each, so that an empty file ends in an index error.
    contents = {FILES[0]: "document", FILES[1]: "query", f"qrels/{split}.tsv": "judgement"}
    for name, content in contents.items():
        path = folder / name
        if not path.is_file():
            packed = path.with_name(f"{path.name}.gz")
            cure = f"gunzip {packed}" if packed.is_file() else f"BEIR wants {', '.join(contents)}"
            raise DataError(f"{path}: no such file", cure=cure)
        with path.open(encoding="utf-8") as file:
            if path.suffix == ".tsv":
                next(file, None)
            if next(file, None) is None:
                raise DataError(f"{path}: holds no {content}")


def _with_titles(corpus: dict[str, dict[str, Any]], folder: Path) -> dict[str, dict[str, str]]:
    for identifier, document in corpus.items():
        if identifier is None or document["text"] is None:
            raise DataError(f"{folder / FILES[0]}: document {identifier!r} has no _id or no text")
        # The loader gives None for a missing title, and BEIR's search then adds None to a string.
        document["title"] = document["title"] or ""
    return corpus


def _check_meaning(data: BeirData, split: str) -> None:
    where = data.folder / "qrels" / f"{split}.tsv"
    empty = [identifier for identifier, text in data.queries.items() if text is None]
    if empty:
        raise DataError(f"{data.folder / FILES[1]}: query {empty[0]!r} has no text")
    itself = [query for query, grades in data.qrels.items() if grades.get(query, 0) > 0]
    if itself:
        raise DataError(
            f"{where}: {len(itself)} queries, {itself[0]!r} for one, have the id of their relevant"
            " document; BEIR drops a document with the query's id, so they could never be found",
            cure="give queries and documents ids from different spaces, such as q-1 and d-1",
        )
