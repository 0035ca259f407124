"""TREC and BEIR run files, scored against judgements.

Owns the two file formats and the metrics: trec_eval's, through pytrec_eval. The rule: a mean is over all
judged queries; one for which a run found nothing counts as 0 and the record says so (trec_eval itself
leaves such queries out unless told otherwise, which flatters a run). Which run is judged by what is left
to `run_files`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from harness.errors import RecordError

METRICS = ("ndcg_at_10", "map_at_10", "map_at_100", "recall_at_10", "recall_at_100", "mrr_at_10")
"""What is computed; the first is the main score, as in mteb and BEIR."""

_TREC_EVAL = {
    "ndcg_at_10": ("ndcg_cut.10", "ndcg_cut_10"),
    "map_at_10": ("map_cut.10", "map_cut_10"),
    "map_at_100": ("map_cut.100", "map_cut_100"),
    "recall_at_10": ("recall.10", "recall_10"),
    "recall_at_100": ("recall.100", "recall_100"),
}
"""Metric -> trec_eval's name when asked and when answered."""

Run = dict[str, dict[str, float]]
"""Query -> document -> score."""
Judgements = dict[str, dict[str, int]]
"""Query -> document -> grade."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunScores:
    """What a run is worth on one task."""

    by_query: Mapping[str, Mapping[str, float]]
    """Metric -> judged query -> score."""
    num_without_results: int
    """Judged queries for which the run has nothing."""

    def mean(self, metric: str) -> float:
        """Return the mean over all judged queries."""
        values = self.by_query[metric].values()
        return math.fsum(values) / len(values)


def evaluator() -> str:
    """Return the package that computes the scores and its version."""
    return f"pytrec_eval-terrier {metadata.version('pytrec_eval-terrier')}"


def score_run(run: Run, judgements: Judgements) -> RunScores:
    """Return the scores of a run for each judged query.

    Args:
        run: Scores of the documents found; equal scores are ordered by document id, descending, as
            trec_eval does.
        judgements: Grades; a grade above 0 is relevant.
    """
    import pytrec_eval

    asked = {ask for ask, _ in _TREC_EVAL.values()}
    scores = pytrec_eval.RelevanceEvaluator(judgements, asked).evaluate(run)
    first = pytrec_eval.RelevanceEvaluator(judgements, {"recip_rank"}).evaluate(_first(run, 10))
    by_query = {
        metric: {query: float(scores.get(query, {}).get(name, 0.0)) for query in sorted(judgements)}
        for metric, (_, name) in _TREC_EVAL.items()
    }
    by_query["mrr_at_10"] = {
        query: float(first.get(query, {}).get("recip_rank", 0.0)) for query in sorted(judgements)
    }
    return RunScores(
        by_query=by_query,
        num_without_results=sum(not run.get(query) for query in judgements),
    )


def read_run(path: Path) -> Run:
    """Read a run: six TREC columns, or BEIR's JSON object of query, document and score.

    Raises:
        RecordError: If the file is neither, with the line.
    """
    if path.suffix == ".json":
        return _read_json_run(path)
    run: Run = {}
    for number, fields in _lines(path):
        if len(fields) != 6:
            raise _wrong(path, number, f"{len(fields)} columns, not the six of a TREC run")
        query, _, document, _, score, _ = fields
        found = run.setdefault(query, {})
        if document in found:
            raise _wrong(path, number, f"document {document} is there twice for query {query}")
        found[document] = _score(score, path, number)
    return run


def read_judgements(path: Path) -> Judgements:
    """Read judgements: TREC's four columns, or BEIR's three with a head.

    Raises:
        RecordError: If the file is neither or holds none, with the line.
    """
    judgements: Judgements = {}
    for number, fields in _lines(path):
        if number == 1 and fields[:2] == ["query-id", "corpus-id"]:
            continue
        if len(fields) not in {3, 4}:
            raise _wrong(path, number, f"{len(fields)} columns, not three (BEIR) or four (TREC)")
        query, document, grade = fields[0], fields[-2], fields[-1]
        try:
            value = int(float(grade))
        except ValueError as error:
            raise _wrong(path, number, f"the grade {grade!r} is no number") from error
        if judgements.setdefault(query, {}).setdefault(document, value) != value:
            raise _wrong(path, number, f"document {document} has two grades for query {query}")
    if not judgements:
        raise RecordError(f"{path}: no judgements in it", cure="give a qrels file of TREC or BEIR")
    return judgements


def _read_json_run(path: Path) -> Run:
    try:
        document = json.loads(path.read_bytes())
        run = {
            str(query): {str(one): float(score) for one, score in found.items()}
            for query, found in document.items()
        }
    except (ValueError, AttributeError, TypeError) as error:
        raise RecordError(
            f"{path}: not a run: {error}", cure="a JSON run is {query: {document: score}}"
        ) from error
    for query, found in run.items():
        for one, score in found.items():
            if not math.isfinite(score):
                raise RecordError(f"{path}: the score of {one} for query {query} is {score}")
    return run


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecordError(f"{path}: not UTF-8 text: {error}") from error
    for number, line in enumerate(text.split("\n"), start=1):
        fields = line.split()
        if fields:
            yield number, fields


def _score(text: str, path: Path, number: int) -> float:
    try:
        score = float(text)
    except ValueError as error:
        raise _wrong(path, number, f"the score {text!r} is no number") from error
    if not math.isfinite(score):
        raise _wrong(path, number, f"the score is {text}")
    return score


def _wrong(path: Path, number: int, what: str) -> RecordError:
    return RecordError(f"{path}:{number}: {what}", cure="mend the line or leave the file out")


def _first(run: Run, depth: int) -> Run:
    """Return the best documents of each query, in trec_eval's order of equals."""
    return {
        query: dict(sorted(found.items(), key=lambda one: (one[1], one[0]), reverse=True)[:depth])
        for query, found in run.items()
    }
