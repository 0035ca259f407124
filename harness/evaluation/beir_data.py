"""A BEIR folder, read with BEIR's own loader and checked.

Owns `load_beir`, and `corpus_lines` for whoever reads a corpus a part at a time. The rule: what BEIR's
loader or search would trip over, or would score wrongly without a word, is mended where the meaning is
plain (a packed file is unpacked, a document without a title has an empty one) and refused where it is
not. A packed folder is the same data as the plain one: same texts, same revision.
"""

from __future__ import annotations

import gzip
import json
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from beir.datasets.data_loader import GenericDataLoader
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError

from harness.data.mirrors import check_repository, find_repository
from harness.errors import AbsentDataError, DataError
from harness.identity.canonical import file_sha256, fingerprint
from harness.study.task_facts import Dataset

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
    revision: str
    """16 digits that change with the texts or the judgements of the split."""


def load_beir(dataset: str, folder: Path, *, split: str = "test") -> BeirData:
    """Read one split of a BEIR dataset.

    Args:
        dataset: Name of the dataset.
        folder: The dataset's folder (corpus.jsonl, queries.jsonl, qrels/), or one that holds it under
            the dataset's name. Each file may be packed, with `.gz` behind its name.
        split: Name of the file under qrels/.

    Raises:
        DataError: If files are missing or damaged, if a text is missing, if nothing is judged, or if a
            query's own id is the id of its relevant document (BEIR drops such hits from every ranking).
    """
    contents = {FILES[0]: "document", FILES[1]: "query", f"qrels/{split}.tsv": "judgement"}
    if not any(_find(folder, name) for name in FILES):
        folder = folder / dataset
    with _plain_files(folder, tuple(contents)) as files:
        for name, content in contents.items():
            _check_filled(files[name], folder / name, content)
        corpus, queries, qrels = _load(folder, files, split)
        revision = fingerprint([file_sha256(path) for path in files.values()])[:16]
    data = BeirData(
        folder=folder,
        corpus=_with_titles(corpus, folder),
        queries=queries,
        qrels=qrels,
        revision=revision,
    )
    _check_meaning(data, split)
    return data


def corpus_lines(dataset: str, folder: Path) -> Iterator[str]:
    """Yield the lines of a dataset's corpus, packed or not, without keeping them.

    Raises:
        DataError: If there is no corpus, or it is damaged.
    """
    path = _find(folder, FILES[0]) or _find(folder / dataset, FILES[0])
    if path is None:
        raise DataError(f"{folder / dataset / FILES[0]}: no such file")
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8") as file:
            yield from file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _damaged(path, error) from error


def read_document(line: str, dataset: str) -> str:
    """Return the text of a line of a corpus.

    Raises:
        DataError: If the line is no document with a text.
    """
    try:
        document = json.loads(line)
        if document["text"] is None:
            raise ValueError("a document has no text")
        return document_text(document)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{dataset}: not a BEIR corpus: {type(error).__name__}: {error}") from error


def document_text(document: Mapping[str, Any]) -> str:
    """Return a document's text, joined as BEIR's own models and mteb join title and text."""
    return f"{document.get('title') or ''} {document['text']}".strip()


def hub_folder(dataset: Dataset, *, mirrors: Sequence[Path]) -> Path:
    """Return the folder of a hub's dataset in BEIR's layout; with mirrors, nothing is fetched.

    Raises:
        DataError: If no mirror has it, its files are not those of the manifest, or the hub refuses.
    """
    if mirrors:
        found = find_repository(dataset.name, mirrors)
        if found is None:
            places = ", ".join(map(str, mirrors))
            raise AbsentDataError(
                f"dataset {dataset.name} is not in the mirror ({places})",
                cure="bring it with harness prefetch, or leave --mirror out to fetch it",
            )
        check_repository(found[0], dataset.name)
        return found[1]
    try:
        return Path(snapshot_download(dataset.name, repo_type="dataset", revision=dataset.revision))
    except (OSError, HfHubHTTPError) as error:
        raise DataError(
            f"dataset {dataset.name} cannot be fetched: {error}",
            cure="give a mirror that holds it with --mirror FOLDER",
        ) from error


def _find(folder: Path, name: str) -> Path | None:
    """Return the plain file where it is there, else the packed one."""
    candidates = (folder / name, folder / f"{name}.gz")
    return next((path for path in candidates if path.is_file()), None)


@contextmanager
def _plain_files(folder: Path, names: tuple[str, ...]) -> Iterator[dict[str, Path]]:
    """Yield name -> a file that BEIR's loader can read, since it opens no packed ones."""
    with TemporaryDirectory(prefix="beir-") as unpacked:
        files = {}
        for name in names:
            found = _find(folder, name)
            if found is None:
                cure = f"BEIR wants {', '.join(names)}, each as it is or packed as .gz"
                raise DataError(f"{folder / name}: no such file", cure=cure)
            files[name] = found
            if found.suffix == ".gz":
                files[name] = Path(unpacked) / Path(name).name
                _unpack(found, files[name])
        yield files


def _unpack(packed: Path, target: Path) -> None:
    try:
        with gzip.open(packed) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _damaged(packed, error) from error


def _damaged(packed: Path, error: Exception) -> DataError:
    return DataError(
        f"{packed}: damaged, it does not unpack: {error}", cure="fetch or pack the file again"
    )


def _check_filled(path: Path, shown: Path, content: str) -> None:
    # The loader shows an example of each, so that an empty file ends in an index error.
    with path.open("rb") as file:
        if path.suffix == ".tsv":
            next(file, None)
        if next(file, None) is None:
            raise DataError(f"{shown}: holds no {content}")


def _load(folder: Path, files: Mapping[str, Path], split: str) -> tuple[Any, Any, Any]:
    corpus, queries, qrels = map(str, files.values())
    loader = GenericDataLoader(corpus_file=corpus, query_file=queries, qrels_file=qrels)
    try:
        return loader.load_custom()
    except KeyError as error:
        if None in loader.queries:
            raise DataError(f"{folder / FILES[1]}: a query has no _id") from error
        raise DataError(
            f"{folder}: qrels/{split}.tsv judges query {error}, which queries.jsonl lacks"
        ) from error
    except (ValueError, AttributeError, IndexError, StopIteration) as error:
        raise DataError(f"{folder}: not a BEIR dataset: {type(error).__name__}: {error}") from error


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
