"""One model on one BEIR dataset.

Owns `evaluate_beir`: BEIR's own loader and metrics around an encoder and an exact streaming search, and
the files that keep what they gave: a small JSON file of means, and the scores of single queries as
Parquet. The rule: the numbers are BEIR's (means rounded to five digits, a document with the query's own
id never counted), and on the same data nDCG@10 is the one that mteb gives.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
import pytrec_eval
from beir.retrieval.evaluation import EvaluateRetrieval

from harness.evaluation.beir_data import BeirData, document_text, load_beir
from harness.evaluation.encoder import Encoder
from harness.evaluation.identities import check_query
from harness.evaluation.isolation import preserved_random_state, without_bars
from harness.evaluation.overheads.search import CHUNK_DOCUMENTS
from harness.evaluation.per_query import Details, check_means, query_values
from harness.evaluation.scores import Score
from harness.evaluation.task_scores import RETRIEVAL_METRICS, Circumstances
from harness.evaluation.top_k import TopK, places_by_identifier
from harness.identity.provenance import package_versions

EVALUATOR = f"beir {metadata.version('beir')}"
CUTOFFS = (1, 3, 5, 10, 20, 100, 1000)
Rankings = dict[str, dict[str, float]]
"""Query id -> document id -> score."""

_MAIN = "ndcg_at_10"
_METRICS = {
    _MAIN: "NDCG@10",
    "map_at_10": "MAP@10",
    "mrr_at_10": "MRR@10",
    "recall_at_10": "Recall@10",
    "recall_at_100": "Recall@100",
}


def evaluate_beir(
    encoder: Encoder,
    dataset: str,
    *,
    folder: Path,
    output: Path,
    split: str = "test",
    languages: Sequence[str] = ("eng-Latn",),
) -> list[Score]:
    """Evaluate one model on one BEIR dataset.

    Args:
        encoder: A `StudyEncoder` or an encoder of `load_foreign`.
        dataset: Name of the dataset, the task of the scores.
        folder: The dataset's folder, or one that holds it under its name.
        output: Where `beir/<dataset>.json` goes, with all metrics and cutoffs.
        split: Which judgements.
        languages: Languages of the texts, for the record.

    Returns:
        nDCG@10 as the main score, and MAP@10, MRR@10, recall@10 and recall@100.

    Raises:
        DataError: If the dataset is not there or cannot be scored as it is.
        ProbeError: If the model's embeddings are not finite.
    """
    with preserved_random_state(), without_bars():
        began = time.monotonic()
        data = load_beir(dataset, folder, split=split)
        encoder.begin()
        rankings = rank_beir(encoder, dataset, data)
        usage = encoder.usage()
        circumstances = Circumstances(
            prompt_hash=usage.prompt_hash,
            prompts=usage.prompts,
            dataset_revision=data.revision,
            evaluator=EVALUATOR,
            versions=package_versions(),
            wall_seconds=round(time.monotonic() - began, 3),
            tokens=usage.tokens,
            source=f"beir/{dataset}.json",
        )
        return score_rankings(
            rankings,
            data,
            dataset=dataset,
            split=split,
            languages=languages,
            output=output,
            circumstances=circumstances,
        )


def score_rankings(
    rankings: Rankings,
    data: BeirData,
    *,
    dataset: str,
    split: str,
    languages: Sequence[str],
    output: Path,
    circumstances: Circumstances,
) -> list[Score]:
    """Score rankings with BEIR's metrics and keep all of them in `output`/beir/<dataset>.json.

    The scores of single queries go to `per_query.parquet` and `top.parquet` in `output`.

    Raises:
        ProbeError: If metrics contradict each other.
    """
    cutoffs = list(CUTOFFS)
    metrics: dict[str, float] = {}
    for group in EvaluateRetrieval.evaluate(data.qrels, rankings, cutoffs):
        metrics |= group
    metrics |= EvaluateRetrieval.evaluate_custom(data.qrels, rankings, cutoffs, "mrr")
    _write_metrics(output / circumstances.source, metrics, dataset, split, circumstances)
    _details(rankings, data, metrics, dataset=dataset, split=split).write(output)
    return [
        circumstances.score(
            task=dataset,
            task_type="Retrieval",
            split=split,
            subset="default",
            languages=tuple(languages),
            metric=metric,
            is_main=metric == _MAIN,
            value=float(metrics[name]),
            num_queries=len(data.queries),
        )
        for metric, name in _METRICS.items()
    ]


def _details(
    rankings: Rankings, data: BeirData, metrics: Mapping[str, float], *, dataset: str, split: str
) -> Details:
    """Return the scores of single queries, after checking that BEIR's means are theirs.

    BEIR's own MRR breaks ties by the order in which documents were found, all else by their identifiers,
    so the reciprocal rank of a query is not held against it.
    """
    cutoffs = ",".join(map(str, CUTOFFS))
    measures = {f"{name}.{cutoffs}" for name in ("ndcg_cut", "map_cut", "recall", "P", "success")}
    scores = pytrec_eval.RelevanceEvaluator(data.qrels, measures).evaluate(rankings)
    for query, found in scores.items():
        check_query(found, task=dataset, query=query)
    details = Details(dataset)
    for metric in RETRIEVAL_METRICS:
        values = query_values(metric, scores, data.qrels, rankings)
        details.add_scores(split, "default", metric, values)
    details.add_top(split, "default", rankings)
    reported = {
        (split, "default", metric): metrics[name]
        for metric, name in _METRICS.items()
        if metric != "mrr_at_10"
    }
    check_means(details, reported)
    return details


def rank_beir(encoder: Encoder, dataset: str, data: BeirData) -> Rankings:
    """Return BEIR's ranking: cosine, a document with the query's own id left out, ties by identifier."""
    queries = encoder.encode_texts(list(data.queries.values()), side="query", task=dataset)
    identifiers = list(data.corpus)
    place = {identifier: number for number, identifier in enumerate(identifiers)}
    best = TopK(
        queries,
        k=max(CUTOFFS),
        places=places_by_identifier(identifiers),
        excluded=np.array([place.get(query, -1) for query in data.queries]),
    )
    texts = [document_text(document) for document in data.corpus.values()]
    for first in range(0, len(texts), CHUNK_DOCUMENTS):
        chunk = texts[first : first + CHUNK_DOCUMENTS]
        best.add(encoder.encode_texts(chunk, side="document", task=dataset))
    return {
        query: {
            identifiers[document]: score
            for document, score in zip(found.documents.tolist(), found.scores.tolist(), strict=True)
        }
        for query, found in zip(data.queries, best.best(), strict=True)
    }


def _write_metrics(
    path: Path, metrics: Mapping[str, float], dataset: str, split: str, circumstances: Circumstances
) -> None:
    content = {
        "dataset": dataset,
        "dataset_revision": circumstances.dataset_revision,
        "evaluator": circumstances.evaluator,
        "split": split,
        "metrics": dict(sorted(metrics.items())),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
