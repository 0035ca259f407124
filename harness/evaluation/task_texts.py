"""The texts that a task is scored on, without scoring anything.

Owns `task_texts`. The rule: they are what the evaluation itself hands to a model, because they are taken
down by one that goes through it: a searcher that finds nothing and an encoder of meaningless vectors.
Texts that a classifier is trained on are left out; it is the evaluation's texts that must not be known.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mteb.models import ModelMeta
from mteb.models.model_meta import ScoringFunction
from mteb.similarity_functions import cos_sim, pairwise_cos_sim
from mteb.types import PromptType

from harness.evaluation.beir_data import document_text, load_beir
from harness.evaluation.encoder import Usage
from harness.evaluation.mteb_runner import evaluate_mteb
from harness.study.benchmarks import Limits

_DIMENSION = 4


class _Listener:
    """What mteb takes for a model, and what writes down what it is given."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._num = 0
        self.mteb_model_meta = ModelMeta.create_empty(
            overwrites={
                "name": "harness/listener",
                "revision": "1",
                "similarity_fn_name": ScoringFunction.COSINE,
                "modalities": ["text"],
            }
        )

    def begin(self) -> None:
        """Take nothing back: the texts of all parts of a task are asked for."""

    def usage(self) -> Usage:
        """Return no prompts and no tokens."""
        return Usage()

    def index(self, corpus: Any, **_: Any) -> None:
        """Write down documents as mteb joins them, and keep one to be found."""
        self._any_document = str(corpus[0]["id"])
        self._write("document", (_document_text(row) for row in corpus))

    def search(self, queries: Any, **_: Any) -> dict[str, dict[str, float]]:
        """Write down queries and find the same document for each."""
        self._write("query", (_query_text(row) for row in queries))
        return {str(row["id"]): {self._any_document: 1.0} for row in queries}

    def encode(self, inputs: Any, *, task_metadata: Any, hf_split: str, **settings: Any) -> Any:
        """Write down texts, those of a training split excepted, and return vectors of chance."""
        side = settings.get("prompt_type")
        kind = "text" if side is None else PromptType(side).value
        texts = [text for batch in inputs for text in batch["text"]]
        if hf_split in task_metadata.eval_splits:
            self._write(kind, texts)
        self._num += len(texts)
        random = np.random.default_rng(self._num)
        return random.standard_normal((len(texts), _DIMENSION)).astype(np.float32)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Return cosine similarities, as mteb asks of an encoder."""
        return cos_sim(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Return cosine similarities row by row."""
        return pairwise_cos_sim(embeddings1, embeddings2)

    def _write(self, kind: str, texts: Any) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            for text in texts:
                file.write(json.dumps([kind, text]) + "\n")


def _document_text(row: Any) -> str:
    return f"{row.get('title') or ''} {row['text']}".strip()


def _query_text(row: Any) -> str:
    text = row["text"]
    # A conversation is a list of turns.
    turns = text if isinstance(text, list) else [text]
    return " ".join(turn["content"] if isinstance(turn, dict) else str(turn) for turn in turns)


def mteb_task_texts(
    task: str, *, scratch: Path, mirrors: Sequence[Path], limits: Limits
) -> Iterator[tuple[str, str]]:
    """Yield kind (`query`, `document`, `text`) and text of all that counts of an mteb task.

    Args:
        task: mteb's name of the task.
        scratch: Folder for the texts and for the results that mean nothing.
        mirrors: Folders that hold datasets as `<org>/<name>`; none means the hub.
        limits: The splits and subsets that count.

    Raises:
        DataError: If the task is unknown or its data is not there or not what the task needs.
    """
    path = scratch / "heard.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    with warnings.catch_warnings():
        # Vectors of chance make for numbers that some of mteb's statistics complain about.
        warnings.simplefilter("ignore")
        evaluate_mteb(_Listener(path), task, output=scratch, mirrors=mirrors, limits=limits)
    with path.open(encoding="utf-8") as file:
        for line in file:
            kind, text = json.loads(line)
            yield kind, text


def beir_task_texts(dataset: str, *, folder: Path, split: str) -> Iterator[tuple[str, str]]:
    """Yield `query` or `document` and the text, of the queries and the corpus of a BEIR split."""
    data = load_beir(dataset, folder, split=split)
    for query in data.queries.values():
        yield "query", query
    for document in data.corpus.values():
        yield "document", document_text(document)
