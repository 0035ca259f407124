"""The lexical reference line: BM25 on mteb's search tasks and on BEIR folders.

Owns `evaluate_bm25_mteb` and `evaluate_bm25_beir`. The rule: this is mteb's own `baseline-bm25s`
(bm25s in Lucene's variant, k1 1.5, b 0.75, stop words and Snowball stemmer of the task's language), so
its numbers are the ones of mteb's leaderboard, and BEIR folders get the same ranking. A task that is no
search has no BM25 score, and says so.
"""

from __future__ import annotations

import importlib.util
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bm25s
import datasets
import mteb
from mteb.abstasks import AbsTaskRetrieval

from harness.errors import HarnessError
from harness.evaluation.beir_data import load_beir
from harness.evaluation.beir_runner import CUTOFFS, score_rankings
from harness.evaluation.beir_runner import EVALUATOR as BEIR_EVALUATOR
from harness.evaluation.catalogue import new_task
from harness.evaluation.encoder import Usage
from harness.evaluation.isolation import preserved_random_state, without_bars
from harness.evaluation.mteb_runner import EVALUATOR as MTEB_EVALUATOR
from harness.evaluation.mteb_runner import evaluate_mteb
from harness.evaluation.scores import Score
from harness.evaluation.task_scores import Circumstances, scores_without_value
from harness.identity.provenance import package_versions
from harness.study.benchmarks import Limits

BM25 = "bm25"
"""Name under which users ask for this line."""

_MTEB_NAME = "mteb/baseline-bm25s"
_WHOLE = Limits()

# It reports every step and every query without a known word.
logging.getLogger(bm25s.__name__).setLevel(logging.WARNING)


class Bm25Searcher:
    """mteb's BM25 baseline, with what the runners ask of an encoder. Fresh for every task."""

    def __init__(self) -> None:
        if importlib.util.find_spec("Stemmer") is None:
            raise HarnessError("BM25 needs the package PyStemmer", cure="pip install PyStemmer")
        self.mteb_model_meta = mteb.get_model_meta(_MTEB_NAME, fetch_from_hf=False)
        self._search = self.mteb_model_meta.load_model()

    def begin(self) -> None:
        """Start counting what a task uses: nothing that costs tokens."""

    def usage(self) -> Usage:
        """Return no prompts and no tokens."""
        return Usage()

    def index(self, corpus: Any, **settings: Any) -> None:
        """Index a corpus; mteb's search protocol."""
        self._search.index(corpus, **settings)

    def search(self, queries: Any, **settings: Any) -> dict[str, dict[str, float]]:
        """Return query id -> document id -> score; mteb's search protocol."""
        return self._search.search(queries, **settings)


def evaluate_bm25_mteb(
    task: str, *, output: Path, mirrors: Sequence[Path] = (), limits: Limits = _WHOLE
) -> list[Score]:
    """Evaluate BM25 on one mteb task.

    Args:
        task: mteb's name of the task.
        output: Where mteb's result files go.
        mirrors: Folders that hold datasets as `<org>/<name>`; none means the hub.
        limits: The splits and subsets that count.

    Returns:
        Scores as `evaluate_mteb` gives them; for a task that is no search, one score in state
        `not_applicable` per split and subset.

    Raises:
        DataError: If the task is unknown or its data is not there or not what the task needs.
        HarnessError: If the stemmer's package is not installed.
    """
    with preserved_random_state():
        job = new_task(task, limits)
    if isinstance(job, AbsTaskRetrieval):
        return evaluate_mteb(Bm25Searcher(), task, output=output, mirrors=mirrors, limits=limits)
    circumstances = Circumstances(
        dataset_revision=str(job.metadata.revision),
        evaluator=MTEB_EVALUATOR,
        versions=package_versions(),
    )
    reason = f"BM25 ranks documents; {job.metadata.type} needs embeddings"
    return scores_without_value(
        job, job.hf_subsets, circumstances, state="not_applicable", reason=reason
    )


def evaluate_bm25_beir(
    dataset: str,
    *,
    folder: Path,
    output: Path,
    split: str = "test",
    languages: Sequence[str] = ("eng-Latn",),
) -> list[Score]:
    """Evaluate BM25 on one BEIR dataset; arguments and result as in `evaluate_beir`.

    Raises:
        DataError: If the dataset is not there or cannot be scored as it is.
        HarnessError: If the stemmer's package is not installed.
    """
    with preserved_random_state(), without_bars():
        began = time.monotonic()
        data = load_beir(dataset, folder, split=split)
        searcher = Bm25Searcher()
        settings = {
            # Of the task's metadata only the languages are looked at.
            "task_metadata": SimpleNamespace(eval_langs=list(languages)),
            "hf_split": split,
            "hf_subset": "default",
            "encode_kwargs": {},
        }
        documents = [{"id": identifier, **document} for identifier, document in data.corpus.items()]
        queries = [{"id": identifier, "text": text} for identifier, text in data.queries.items()]
        searcher.index(datasets.Dataset.from_list(documents), **settings)
        rankings = searcher.search(datasets.Dataset.from_list(queries), top_k=max(CUTOFFS), **settings)
        circumstances = Circumstances(
            dataset_revision=data.revision,
            evaluator=BEIR_EVALUATOR,
            versions=package_versions(),
            wall_seconds=round(time.monotonic() - began, 3),
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
