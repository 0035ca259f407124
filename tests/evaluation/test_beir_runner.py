from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import DataError, ProbeError
from harness.evaluation.beir_runner import evaluate_beir
from harness.evaluation.bm25 import evaluate_bm25_beir, evaluate_bm25_mteb
from harness.evaluation.encoder import StudyEncoder
from harness.evaluation.mteb_runner import evaluate_mteb
from harness.evaluation.scores import Score
from harness.study.recipe import PromptConfig
from tests.evaluation.folders import pack, read_packed, search_data, write_beir_folder
from tests.evaluation.toy import ToyEmbedder


def _values(scores: list[Score]) -> dict[str, float | None]:
    return {score.metric: score.value for score in scores}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small BEIR folder with tied documents."""
    write_beir_folder(tmp_path / "small", *search_data())
    return tmp_path / "small"


def _edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        change(row)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_beir_and_mteb_agree_on_the_same_data_with_ties(
    encoder: StudyEncoder, folder: Path, mirror: Path, tmp_path: Path
) -> None:
    ours = _values(evaluate_beir(encoder, "small", folder=folder, output=tmp_path))
    theirs = _values(evaluate_mteb(encoder, "SciFact", output=tmp_path, mirrors=[mirror]))
    # Between documents of equal score the two packages' MRR, and only theirs, go by different orders.
    del ours["mrr_at_10"], theirs["mrr_at_10"]
    assert ours == pytest.approx(theirs, abs=1e-6)
    assert 0.2 < (ours["ndcg_at_10"] or 0) < 1


@pytest.fixture(scope="module")
def scifact(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real SciFact, unpacked."""
    folder = tmp_path_factory.mktemp("beir") / "scifact"
    source = shared_data / "mirror" / "mteb" / "scifact"
    packed = (
        source / "corpus.jsonl.gz",
        source / "queries.jsonl.gz",
        source / "qrels" / "test.jsonl.gz",
    )
    write_beir_folder(folder, *(read_packed(path) for path in packed))
    return folder


def test_beir_and_mteb_agree_on_the_real_scifact(
    encoder: StudyEncoder, scifact: Path, shared_data: Path, tmp_path: Path
) -> None:
    ours = _values(evaluate_beir(encoder, "scifact", folder=scifact, output=tmp_path))
    mirrors = [shared_data / "mirror"]
    theirs = _values(evaluate_mteb(encoder, "SciFact", output=tmp_path, mirrors=mirrors))
    assert ours["ndcg_at_10"] == pytest.approx(theirs["ndcg_at_10"], abs=1e-6)


def test_bm25_on_the_real_scifact_is_the_number_that_mteb_publishes(
    scifact: Path, shared_data: Path, tmp_path: Path
) -> None:
    beir = _values(evaluate_bm25_beir("scifact", folder=scifact, output=tmp_path))
    mirrors = [shared_data / "mirror"]
    mteb = _values(evaluate_bm25_mteb("SciFact", output=tmp_path, mirrors=mirrors))
    assert beir["ndcg_at_10"] == mteb["ndcg_at_10"] == pytest.approx(0.6863, abs=1e-4)


def test_scores_say_what_was_measured(encoder: StudyEncoder, folder: Path, tmp_path: Path) -> None:
    # The folder that holds the dataset under its name will do as well.
    scores = evaluate_beir(encoder, "small", folder=folder.parent, output=tmp_path / "out")
    main = next(score for score in scores if score.is_main)
    assert (main.task, main.metric, main.split, main.subset) == (
        "small",
        "ndcg_at_10",
        "test",
        "default",
    )
    assert main.num_queries == 12
    assert main.evaluator.startswith("beir ")
    assert len(main.dataset_revision) == 16
    kept = json.loads((tmp_path / "out" / main.source).read_text())
    assert kept["metrics"]["NDCG@10"] == main.value


def test_a_single_query_is_scored_like_any_other(
    encoder: StudyEncoder, folder: Path, tmp_path: Path
) -> None:
    corpus, queries, judged = search_data()
    for number in (0, 1):
        name = f"only-{number}"
        write_beir_folder(
            tmp_path / name,
            corpus,
            queries,
            [row for row in judged if row["query-id"] == queries[number]["_id"]],
        )
    singles = [
        evaluate_beir(encoder, f"only-{number}", folder=tmp_path, output=tmp_path)[0]
        for number in (0, 1)
    ]
    pair = tmp_path / "pair"
    two = {query["_id"] for query in queries[:2]}
    write_beir_folder(pair, corpus, queries, [row for row in judged if row["query-id"] in two])
    both = evaluate_beir(encoder, "pair", folder=pair, output=tmp_path)[0]
    assert [single.num_queries for single in singles] == [1, 1]
    mean = sum(single.value or 0 for single in singles) / 2
    assert both.value == pytest.approx(mean, abs=1e-5)


@pytest.mark.parametrize("title", ["absent", None, ""])
def test_a_document_without_a_title_has_an_empty_one(
    title: str | None, encoder: StudyEncoder, folder: Path, tmp_path: Path
) -> None:
    def change(row: dict[str, Any]) -> None:
        row["text"] = f"{row.pop('title')} {row['text']}"
        if title != "absent":
            row["title"] = title

    before = evaluate_beir(encoder, "small", folder=folder, output=tmp_path)
    _edit(folder / "corpus.jsonl", change)
    assert _values(evaluate_beir(encoder, "small", folder=folder, output=tmp_path)) == _values(before)


def _facts(scores: list[Score]) -> list[tuple[str, float | None, str]]:
    return [(score.metric, score.value, score.dataset_revision) for score in scores]


def test_a_packed_folder_is_the_plain_one(encoder: StudyEncoder, folder: Path, tmp_path: Path) -> None:
    plain = evaluate_beir(encoder, "small", folder=folder, output=tmp_path / "plain")
    lexical = evaluate_bm25_beir("small", folder=folder, output=tmp_path / "plain")
    pack(folder)
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} == {".gz"}
    # As the dataset's own folder, and as one that holds it under its name.
    for place in (folder, folder.parent):
        packed = evaluate_beir(encoder, "small", folder=place, output=tmp_path / "packed")
        assert _facts(packed) == _facts(plain)
    again = evaluate_bm25_beir("small", folder=folder, output=tmp_path / "packed")
    assert _facts(again) == _facts(lexical)
    assert all(path.suffix == ".gz" for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_damaged_pack_is_named(name: str, encoder: StudyEncoder, folder: Path, tmp_path: Path) -> None:
    pack(folder)
    packed = folder / f"{name}.gz"
    whole = packed.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    for damaged in (whole[: len(whole) // 2], bytes(flipped), b"no gzip file", b""):
        packed.write_bytes(damaged)
        with pytest.raises(DataError, match=rf"{packed.name}: damaged|holds no"):
            evaluate_beir(encoder, "small", folder=folder, output=tmp_path)


def test_a_query_with_the_id_of_its_answer_is_refused(
    encoder: StudyEncoder, folder: Path, tmp_path: Path
) -> None:
    _edit(folder / "queries.jsonl", lambda row: row.update(_id=row["_id"].replace("q", "d")))
    qrels = folder / "qrels" / "test.tsv"
    qrels.write_text(qrels.read_text().replace("\nq", "\nd"))
    with pytest.raises(DataError, match="'d0' for one, have the id of their relevant document"):
        evaluate_beir(encoder, "small", folder=folder, output=tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("corpus.jsonl", None, "corpus.jsonl: no such file"),
        ("qrels/test.tsv", None, "test.tsv: no such file"),
        ("corpus.jsonl", '{"_id": "d0", "text"', "not a BEIR dataset"),
        ("corpus.jsonl", '{"_id": "d0", "title": "x"}\n', "document 'd0' has no _id or no text"),
        (
            "queries.jsonl",
            '{"_id": "q0", "text": "x"}\n',
            "judges query 'q1', which queries.jsonl lacks",
        ),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\n", "test.tsv: holds no judgement"),
        ("corpus.jsonl", "", "corpus.jsonl: holds no document"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq0\td0\tx\n", "not a BEIR dataset"),
        ("queries.jsonl", '["q0", "text"]\n', "not a BEIR dataset"),
        ("queries.jsonl", '{"id": "q0", "text": "x"}\n', "a query has no _id"),
    ],
)
def test_damaged_data_is_named(
    file: str, content: str | None, message: str, encoder: StudyEncoder, folder: Path, tmp_path: Path
) -> None:
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    with pytest.raises(DataError, match=message):
        evaluate_beir(encoder, "small", folder=folder, output=tmp_path)


def test_embeddings_that_are_not_numbers_stop_the_dataset(folder: Path, tmp_path: Path) -> None:
    poisoned = StudyEncoder(
        ToyEmbedder(poison="river"), prompts=PromptConfig(), name="toy", revision="r"
    )
    with pytest.raises(ProbeError, match="small: "):
        evaluate_beir(poisoned, "small", folder=folder, output=tmp_path)


def test_own_data_gives_the_same_through_both(
    encoder: StudyEncoder, bbc_source: Path, tmp_path: Path
) -> None:
    beir = evaluate_beir(encoder, "bbc-headlines", folder=bbc_source / "beir", output=tmp_path)
    mirrors = [bbc_source / "mirror"]
    mteb = evaluate_mteb(encoder, "BBCHeadlineRetrieval", output=tmp_path, mirrors=mirrors)
    assert beir[0].value == pytest.approx(_values(mteb)["ndcg_at_10"], abs=1e-6)
