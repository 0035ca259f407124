"""The work of steps beside training: shards, rankings, and what lies behind a source."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.plan import compile_plan
from harness.plan.costs import StepCost, step_costs
from harness.study import load_study
from tests.study.builders import edited, write_study

_FILES = "news: {kind: bbc, path: news}\n  files: {kind: files, path: pairs.jsonl%s}"
_MINED = ", mine: {method: dense, base: big, num_negatives: 1}"


def _costs(folder: Path, text: str) -> dict[str, list[StepCost]]:
    """Return stage -> costs of its steps."""
    plan = compile_plan(load_study(write_study(folder, text)))
    found: dict[str, list[StepCost]] = {}
    for name, cost in step_costs(plan).items():
        found.setdefault(plan.steps[name].stage, []).append(cost)
    return found


def _trained_on_files(folder: Path, *, num_pairs: int, more: str) -> dict[str, list[StepCost]]:
    line = json.dumps({"query": "a" * 50, "positive": "b" * 200})
    (folder / "pairs.jsonl").write_text(f"{line}\n" * num_pairs)
    text = edited("news: {kind: bbc, path: news}", _FILES % more)
    return _costs(folder, text.replace("source: news, pairs: headlines", "source: files"))


def test_shards_and_the_evaluation_that_they_spare_work_encode_a_corpus_once(tmp_path: Path) -> None:
    text = edited("{source: news, tasks: [BBCTopicClassification]}", "{tasks: [NQ]}")
    whole = _costs(tmp_path, text)["evaluate"][0]
    parts = _costs(tmp_path, text + "resources: {shard_documents: 500000}\n")
    num_shards = len(parts["embed"]) // len(parts["evaluate"])
    assert num_shards > 1
    assert all(cost.basis == "FLOPs" for cost in (*parts["embed"], *parts["evaluate"]))
    shard, rest = parts["embed"][0].tokens, parts["evaluate"][0].tokens
    assert rest.high < whole.tokens.high / 10
    assert num_shards * shard.high == pytest.approx(whole.tokens.high)
    assert 0.5 * whole.tokens.low < num_shards * shard.low + rest.low <= whole.tokens.low


def test_a_dense_ranking_costs_the_texts_of_its_source(tmp_path: Path) -> None:
    (few,) = _trained_on_files(tmp_path, num_pairs=100, more=_MINED)["mine"]
    (many,) = _trained_on_files(tmp_path, num_pairs=1000, more=_MINED)["mine"]
    assert few.tokens.low <= 100 * 250 / 4 <= few.tokens.high
    assert many.tokens.high == pytest.approx(10 * few.tokens.high)
    assert many.basis == "FLOPs"


def test_cleaned_pairs_have_the_lengths_of_their_source(tmp_path: Path) -> None:
    plain = _trained_on_files(tmp_path, num_pairs=100, more="")["contrast"]
    cleaned = _trained_on_files(tmp_path, num_pairs=100, more=", clean: {}")["contrast"]
    assert [cost.tokens for cost in cleaned] == [cost.tokens for cost in plain]
    # Four steps of eight pairs, two characters a token at the most.
    assert plain[0].tokens.high == pytest.approx(4 * 8 * 125)


def test_tasks_of_a_news_source_encode_the_articles_that_they_are_made_of(tmp_path: Path) -> None:
    tokens = {}
    for task in ("BBCHeadlineRetrieval", "BBCTopicClustering", "BBCTopicClassification"):
        text = edited("[BBCTopicClassification]", f"[{task}]")
        tokens[task] = _costs(tmp_path, text)["evaluate"][0].tokens.high
    articles = tokens["BBCTopicClustering"]
    assert tokens["BBCHeadlineRetrieval"] == 2 * articles
    # 300 to score on, and 100 whose labels train the classifier.
    assert tokens["BBCTopicClassification"] == pytest.approx(4 / 3 * articles)
