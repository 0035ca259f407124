"""The lexical reference line: BM25 on retrieval tasks and BEIR folders.

Owns `evaluate_bm25_mteb` and `evaluate_bm25_beir`. The rule: this is mteb's own `baseline-bm25s`
(bm25s, Lucene's variant, k1 1.5, b 0.75, stop words and Snowball stemmer of the task's language), so its
numbers are the ones that mteb's leaderboard shows, and BEIR folders get the same ranking. A task that
is no search has no BM25 score, and says so.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import datasets
import mteb
from mteb.abstasks import AbsTaskRetrieval
from mteb.types import PromptType

from harness.errors import HarnessError
from harness.evaluation.beir_data import load_beir
from harness.evaluation.beir_runner import CUTOFFS, dataset_revision, score_rankings
from harness.evaluation.catalogue import new_task
from harness.evaluation.encoder import Usage
from harness.evaluation.isolation import preserved_random_state
from harness.evaluation.mteb_runner import EVALUATOR, evaluate_mteb
from harness.evaluation.scores import Score
from harness.evaluation.task_scores import Circumstances
from harness.identity.provenance import package_versions

MTEB_NAME = "mteb/baseline-bm25s"
_BEIR_EVALUATOR = f"beir {metadata.version('beir')}, bm25s {metadata.version('bm25s')}"
