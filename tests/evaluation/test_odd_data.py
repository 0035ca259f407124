"""Data with corners: the same numbers as plain mteb and BEIR, and no crash where they have none."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mteb
import pytest
from sentence_transformers import SentenceTransformer

from harness.evaluation.beir_runner import evaluate_beir
from harness.evaluation.bm25 import evaluate_bm25_beir, evaluate_bm25_mteb
from harness.evaluation.encoder import StudyEncoder
from harness.evaluation.mirror import use_mirrors
from harness.evaluation.mteb_runner import evaluate_mteb
from harness.evaluation.scores import Score
from harness.models.embedder import Embedder
from harness.study.recipe import PromptConfig
from tests.evaluation.folders import search_data, sentence, write_beir_folder, write_lines, write_readme

Rows = Sequence[dict[str, Any]]

_ODD_TEXTS = (
    "",
    " ",
    "e\u0301t\u00e9 \u00e9te\u0301",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f1e8\U0001f1ed \u270c\U0001f3fd",
    "\u05e9\u05dc\u05d5\u05dd \u0639\u0627\u0644\u0645 abc \u202e123",
    "before\x00after",
    "one\u2028two\u2029three\x85four",
    "\ufeffmark",
    "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22",
    "tab\tand\r\nlines",
    "\U0001d54f\ufffd",
    "x" * 5000,
)


@pytest.fixture(scope="module")
def encoder(tiny_base: Path) -> StudyEncoder:
    """A real network without prompts, so that an empty text stays empty."""
    embedder = Embedder.load(tiny_base, device="cpu")
    return StudyEncoder(embedder, prompts=PromptConfig(), name="tiny", revision="r")


def _write(root: Path, name: str, corpus: Rows, queries: Rows, judged: Rows) -> None:
    """Write the data as `mteb/<name>` and as the BEIR folder `beir/<name>`."""
    folder = root / "mteb" / name
    write_lines(folder / "corpus.jsonl", corpus)
    write_lines(folder / "queries.jsonl", queries)
    write_lines(folder / "qrels.jsonl", judged)
    files = {
        "corpus": {"corpus": "corpus.jsonl"},
        "queries": {"queries": "queries.jsonl"},
        "default": {"test": "qrels.jsonl"},
    }
    write_readme(folder, files)
    write_beir_folder(root / "beir" / name, corpus, queries, judged)


def _stock(model: Path, task: str, mirror: Path) -> dict[str, Any]:
    with use_mirrors([mirror]):
        result = mteb.evaluate(
            SentenceTransformer(str(model)),
            mteb.get_task(task),
            cache=None,
            co2_tracker=False,
            show_progress_bar=False,
        )
    (entry,) = result.task_results[0].scores["test"]
    return dict(entry)


def _values(scores: Sequence[Score], *, but: str = "") -> dict[str, float | None]:
    assert {score.state for score in scores} == {"ok"}
    return {score.metric: score.value for score in scores if score.metric != but}


def _assert_equal_everywhere(
    encoder: StudyEncoder, model: Path, root: Path, *, task: str = "SciFact", name: str = "scifact"
) -> dict[str, float | None]:
    """Compare our two runners, plain mteb, and the lexical line with itself; return our scores."""
    ours = _values(evaluate_mteb(encoder, task, output=root / "out", mirrors=[root]))
    stock = _stock(model, task, root)
    assert ours == {metric: pytest.approx(stock[metric], abs=1e-4) for metric in ours}
    beir = evaluate_beir(encoder, name, folder=root / "beir", output=root / "out")
    # Between documents of equal score the two packages' MRR, and only theirs, go by different orders.
    assert _values(beir, but="mrr_at_10") == {
        metric: pytest.approx(value, abs=1e-4) for metric, value in ours.items() if metric != "mrr_at_10"
    }
    lexical = _values(evaluate_bm25_mteb(task, output=root / "out", mirrors=[root]), but="mrr_at_10")
    folder = evaluate_bm25_beir(name, folder=root / "beir", output=root / "out")
    assert _values(folder, but="mrr_at_10") == pytest.approx(lexical, abs=1e-5)
    return ours


def test_texts_of_every_script_and_of_none(
    encoder: StudyEncoder, tiny_base: Path, tmp_path: Path
) -> None:
    rng = random.Random(0)
    corpus = [
        {"_id": f"d{n}", "title": text if n % 2 else "", "text": text}
        for n, text in enumerate(_ODD_TEXTS)
    ]
    corpus += [{"_id": f"e{n}", "title": "", "text": sentence(rng)} for n in range(20)]
    queries = [{"_id": f"q{n}", "text": text} for n, text in enumerate(_ODD_TEXTS)]
    judged = [{"query-id": f"q{n}", "corpus-id": f"d{n}", "score": 1} for n in range(len(_ODD_TEXTS))]
    _write(tmp_path, "scifact", corpus, queries, judged)
    found = _assert_equal_everywhere(encoder, tiny_base, tmp_path)
    assert 0.3 < (found["ndcg_at_10"] or 0) <= 1


@pytest.mark.parametrize("text", _ODD_TEXTS)
def test_an_odd_text_has_the_vector_that_sentence_transformers_gives(
    text: str, encoder: StudyEncoder, tiny_base: Path
) -> None:
    ours = encoder.encode_texts([text], side="text", task="t")
    theirs = SentenceTransformer(str(tiny_base)).encode([text], normalize_embeddings=True)
    assert ours[0] == pytest.approx(theirs[0], abs=1e-5)


def test_a_corpus_of_one_document(encoder: StudyEncoder, tiny_base: Path, tmp_path: Path) -> None:
    corpus, queries, _ = search_data(documents=1, queries=1, copies=0)
    right = [{"query-id": "q0", "corpus-id": "d0", "score": 1}]
    _write(tmp_path, "scifact", corpus, queries, right)
    found = _assert_equal_everywhere(encoder, tiny_base, tmp_path)
    assert set(found.values()) == {1.0}


def test_queries_without_judgements_and_documents_that_are_not_there(
    encoder: StudyEncoder, tiny_base: Path, tmp_path: Path
) -> None:
    corpus, queries, judged = search_data()
    judged = [row for row in judged if row["query-id"] not in {"q3", "q7"}]
    complete = tmp_path / "complete"
    _write(complete, "scifact", corpus, queries, judged)
    before = _assert_equal_everywhere(encoder, tiny_base, complete)
    absent = [{"query-id": row["_id"], "corpus-id": "gone", "score": 1} for row in queries[:3]]
    partly = tmp_path / "partly"
    _write(partly, "scifact", corpus, queries, [*judged, *absent])
    after = _assert_equal_everywhere(encoder, tiny_base, partly)
    # What is right and not there cannot be found: recall falls, and the queries stay as many.
    assert (after["recall_at_100"] or 0) < (before["recall_at_100"] or 0)
    scores = evaluate_mteb(encoder, "SciFact", output=tmp_path / "o", mirrors=[partly])
    assert {score.num_queries for score in scores} == {10}


@pytest.mark.parametrize(("task", "name"), [("ArguAna", "arguana"), ("QuoraRetrieval", "quora")])
def test_a_document_that_is_the_query_is_left_out_where_the_benchmark_says_so(
    task: str, name: str, encoder: StudyEncoder, tiny_base: Path, tmp_path: Path
) -> None:
    corpus, _, _ = search_data(copies=0)
    # Every query is a document; right is another one.
    queries = [
        {"_id": row["_id"], "text": f"{row['title']} {row['text']}".strip()} for row in corpus[:12]
    ]
    rng = random.Random(1)
    judged = [
        {"query-id": row["_id"], "corpus-id": rng.choice(corpus[12:])["_id"], "score": 1}
        for row in queries
    ]
    _write(tmp_path, name, corpus, queries, judged)
    found = _assert_equal_everywhere(encoder, tiny_base, tmp_path, task=task, name=name)
    _write(tmp_path, "scifact", corpus, queries, judged)
    counted = _values(evaluate_mteb(encoder, "SciFact", output=tmp_path / "o", mirrors=[tmp_path]))
    # There the query itself takes the first place, and everything else moves down.
    assert (found["mrr_at_10"] or 0) > (counted["mrr_at_10"] or 0)


def test_tied_documents_have_one_order_whatever_the_order_of_the_corpus(
    encoder: StudyEncoder, tmp_path: Path
) -> None:
    corpus, queries, judged = search_data(documents=30, queries=10, copies=30)
    found = []
    for number in range(3):
        random.Random(number).shuffle(corpus)
        root = tmp_path / str(number)
        _write(root, "scifact", corpus, queries, judged)
        scores = evaluate_mteb(encoder, "SciFact", output=root, mirrors=[root])
        beir = evaluate_beir(encoder, "scifact", folder=root / "beir", output=root / "b")
        found.append((_values(scores), _values(beir, but="mrr_at_10")))
    assert found[0] == found[1] == found[2]
    assert 0 < (found[0][0]["ndcg_at_10"] or 0) < 1
