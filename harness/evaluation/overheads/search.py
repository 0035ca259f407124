"""Retrieval: the best documents by streaming selection instead of a heap in Python.

Owns `StreamingSearch`, an encoder as mteb's search protocol. mteb pushes 1,001 documents a query and
50,000 documents into a Python heap (some 3 billion pushes over BEIR, 48 to 95 minutes a model), keeps a
score matrix of all queries by 50,000, and maps every document through `datasets`. The rule: queries
and documents are encoded as mteb would have it, from the same texts in chunks of the same 50,000, and
the result is what mteb's heap holds: the k largest pairs of score and identifier. Reranking, and models
whose similarity is neither cosine nor inner product, are left to mteb.
"""

from __future__ import annotations

from typing import Any

from mteb._create_dataloaders import _corpus_to_dict, _retrieval_texts, create_dataloader
from mteb.models.model_meta import ScoringFunction
from mteb.models.search_wrappers import SearchEncoderWrapper
from mteb.types import PromptType

from harness.evaluation.encoder import StudyEncoder
from harness.evaluation.top_k import TopK, places_by_identifier

CHUNK_DOCUMENTS = 50_000
"""Documents encoded at once; mteb's own number, so that a model which sorts by length sorts alike."""
_SIMILARITIES = (ScoringFunction.COSINE, ScoringFunction.DOT_PRODUCT)


class StreamingSearch:
    """An encoder as mteb's `SearchProtocol`, which also stays the encoder that it was.

    Args:
        encoder: Anything that satisfies mteb's `EncoderProtocol`.
    """

    def __init__(self, encoder: Any) -> None:
        self._encoder = encoder
        self._corpus: Any = None

    def __getattr__(self, name: str) -> Any:
        # Only for what this class lacks: `encode`, `similarity` and the rest of the encoder.
        return getattr(self._encoder, name)

    @property
    def mteb_model_meta(self) -> Any:
        """The encoder's own."""
        return self._encoder.mteb_model_meta

    def index(self, corpus: Any, **_: Any) -> None:
        """Take the corpus of a task; it is encoded while it is searched."""
        self._corpus = corpus

    def search(
        self, queries: Any, *, top_k: int, top_ranked: Any = None, **settings: Any
    ) -> dict[str, dict[str, float]]:
        """Return query id -> document id -> score, best first."""
        similarity = self.mteb_model_meta.similarity_fn_name
        if top_ranked is not None or similarity not in _SIMILARITIES or len(self._corpus) == 0:
            stock = SearchEncoderWrapper(self._encoder)
            stock.index(self._corpus, **settings)
            found = stock.search(queries, top_k=top_k, top_ranked=top_ranked, **settings)
        else:
            found = self._best(
                queries, top_k=top_k, is_cosine=similarity == ScoringFunction.COSINE, settings=settings
            )
        self._corpus = None
        return found

    def _best(
        self, queries: Any, *, top_k: int, is_cosine: bool, settings: dict[str, Any]
    ) -> dict[str, dict[str, float]]:
        vectors = self._encode(queries, PromptType.query, settings)
        identifiers = list(self._corpus["id"])
        places = places_by_identifier(identifiers)
        best = TopK(vectors, k=top_k, places=places, is_cosine=is_cosine)
        for first in range(0, len(identifiers), CHUNK_DOCUMENTS):
            last = min(first + CHUNK_DOCUMENTS, len(identifiers))
            chunk = self._corpus.select(range(first, last))
            best.add(self._encode(chunk, PromptType.document, settings))
        return {
            query: {
                identifiers[document]: score
                for document, score in zip(found.documents.tolist(), found.scores.tolist(), strict=True)
            }
            for query, found in zip(list(queries["id"]), best.best(), strict=True)
        }

    def _encode(self, rows: Any, side: PromptType, settings: dict[str, Any]) -> Any:
        task = settings["task_metadata"]
        if isinstance(self._encoder, StudyEncoder):
            texts = corpus_texts(rows) if side == PromptType.document else _retrieval_texts(rows, side)
            return self._encoder.encode_texts(list(texts), side=side.value, task=task.name)
        keywords = settings["encode_kwargs"]
        loader = create_dataloader(
            rows,
            task_metadata=task,
            prompt_type=side,
            num_proc=settings.get("num_proc"),
            **keywords,
        )
        return self._encoder.encode(
            loader,
            task_metadata=task,
            hf_split=settings["hf_split"],
            hf_subset=settings["hf_subset"],
            prompt_type=side,
            **keywords,
        )


def corpus_texts(corpus: Any) -> list[str]:
    """Return the text of each document as mteb's data loader gives it, without the loader's copies."""
    columns = [name for name in ("id", "title", "text") if name in corpus.column_names]
    read = corpus.select_columns(columns)[:]
    rows = zip(*(read[name] for name in columns), strict=True)
    return [_corpus_to_dict(dict(zip(columns, row, strict=True)))["text"] for row in rows]
