from __future__ import annotations

from pathlib import Path

import pytest

from harness.evaluation.bm25 import evaluate_bm25_mteb
from harness.evaluation.encoder import StudyEncoder
from harness.evaluation.mteb_runner import evaluate_mteb
from harness.evaluation.passkey import NUM_DOCUMENTS, NUM_QUERIES, WORDS_A_TOKEN, passkey_data
from harness.models.embedder import Embedder
from harness.study.benchmarks import Limits
from harness.study.catalogue import PASSKEY_LENGTHS
from harness.study.recipe import PromptConfig


@pytest.mark.parametrize("length", PASSKEY_LENGTHS)
def test_every_length_has_a_hundred_texts_of_it_and_fifty_questions(length: int) -> None:
    corpus, queries, judgements = passkey_data(length)
    assert len(corpus) == NUM_DOCUMENTS == len({row["text"] for row in corpus})
    assert len(queries) == NUM_QUERIES == len(judgements) == len({row["text"] for row in queries})
    for row in corpus:
        words = len(row["text"].split())
        assert 0 <= length * WORDS_A_TOKEN - words < 14
    texts = {row["id"]: row["text"] for row in corpus}
    for query in queries:
        person = query["text"].removeprefix("what is the passkey for ").removesuffix("?")
        holders = {name for name, text in texts.items() if f"The passkey for {person} is" in text}
        assert holders == set(judgements[query["id"]])


def test_texts_are_a_function_of_length_and_seed() -> None:
    assert passkey_data(512) == passkey_data(512)
    assert passkey_data(512, seed=1) != passkey_data(512)
    same_questions = [passkey_data(length)[1:] for length in (256, 4096)]
    assert same_questions[0] == same_questions[1]


def test_keys_stand_anywhere_in_the_text() -> None:
    corpus, _, _ = passkey_data(4096)
    places = [row["text"].index("The passkey for") / len(row["text"]) for row in corpus]
    assert min(places) < 0.1
    assert max(places) > 0.9
    assert 0.4 < sum(places) / len(places) < 0.6


def test_lexical_search_finds_every_key_and_nothing_is_fetched(tmp_path: Path) -> None:
    limits = Limits(subsets=("256", "1024"))
    (tmp_path / "mirror" / "org" / "other").mkdir(parents=True)
    scores = evaluate_bm25_mteb(
        "PasskeyRetrieval", output=tmp_path, mirrors=[tmp_path / "mirror"], limits=limits
    )
    mains = {score.subset: score for score in scores if score.is_main}
    assert {subset: score.value for subset, score in mains.items()} == {"256": 1.0, "1024": 1.0}
    assert {score.num_queries for score in mains.values()} == {50}
    assert {score.metric for score in mains.values()} == {"hit_rate_at_1"}
    assert {score.dataset_revision for score in mains.values()} == {"1-seed-0"}


def test_a_model_that_cuts_texts_short_cannot_see_most_keys(tiny_base: Path, tmp_path: Path) -> None:
    encoder = StudyEncoder(
        Embedder.load(tiny_base, device="cpu"), prompts=PromptConfig(), name="tiny", revision="r"
    )
    scores = evaluate_mteb(encoder, "PasskeyRetrieval", output=tmp_path, limits=Limits(subsets=("256",)))
    (main,) = [score for score in scores if score.is_main]
    assert (main.subset, main.state) == ("256", "ok")
    # 64 tokens of a text of 256: at most a quarter of the keys is in sight.
    assert 0 <= (main.value or 0) < 0.5
