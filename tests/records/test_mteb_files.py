from __future__ import annotations

import json
import math

import pytest

from harness.records.mteb_files import UnreadableError, parse_result
from tests.records.result_files import former, scores_file, today


def _parse(content: object) -> object:
    return parse_result(json.dumps(content).encode())


@pytest.mark.parametrize(
    "task", ["SciFact", "STS22", "TwitterURLCorpus", "AskUbuntuDupQuestions", "SummEval"]
)
def test_all_layouts_give_the_same_numbers(task: str) -> None:
    from harness.records.facts import task_facts

    facts = task_facts()[task]
    subset = "en" if task == "STS22" else "default"
    files = [
        today(task, "test", subset, 0.5),
        former(task, "test", subset, 0.5),
        former(task, "test", subset, 0.5, is_bare=True),
    ]
    parsed = [parse_result(json.dumps(one).encode()) for one in files]
    assert [one.layout for one in parsed] == ["scores", "nested", "bare"]
    for one in parsed:
        (entry,) = one.entries
        assert (entry.split, entry.subset) == ("test", subset)
        assert entry.find(facts.metric) == 0.5
    if facts.task_type == "PairClassification":
        assert [one.entries[0].find("cosine_ap") for one in parsed] == [0.49] * 3


def test_similarities_are_found_under_all_their_names() -> None:
    entries = {
        "cosine_ap": 0.1,
        "cos_sim_ap": 0.1,
        "cosine": {"ap": 0.1},
        "cos_sim": {"ap": 0.1},
    }
    for name, value in entries.items():
        file = parse_result(json.dumps(scores_file("X", {"test": [{name: value}]})).encode())
        assert file.entries[0].find("cosine_ap") == 0.1, name
        assert file.entries[0].find("max_ap") is None


def test_similarities_are_no_subsets() -> None:
    nested = {"test": {"cos_sim": {"ap": 0.4}, "max": {"ap": 0.5}}, "mteb_version": "1.0.0"}
    file = parse_result(json.dumps(nested).encode())
    assert [entry.subset for entry in file.entries] == ["default"]


def test_several_splits_and_subsets_are_kept_apart() -> None:
    nested = {
        "dev": {"en": {"accuracy": 0.1}, "de": {"accuracy": 0.2}, "evaluation_time": 1.0},
        "test": {"en": {"accuracy": 0.3}, "evaluation_time": 2.0},
        "mteb_version": "1.0.0",
    }
    file = parse_result(json.dumps(nested).encode())
    found = {(one.split, one.subset): one.find("accuracy") for one in file.entries}
    assert found == {("dev", "en"): 0.1, ("dev", "de"): 0.2, ("test", "en"): 0.3}
    assert file.seconds == 3.0


def test_bare_nan_is_read_and_is_no_number() -> None:
    content = (
        b'{"task_name": "X", "mteb_version": null, "scores": {"test": [{"main_score": NaN, "f1": 1}]}}'
    )
    file = parse_result(content)
    found = file.entries[0].find("main_score")
    assert found is not None
    assert math.isnan(found)
    assert file.evaluator == ""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "no scores"),
        (b'{"scores": {"test": 3}}', "not a list"),
        (b'{"scores": {"test": [3]}}', "not an object"),
        (b'{"settings": {"name": "x"}}', "no scores"),
    ],
)
def test_what_holds_no_scores_says_why(content: bytes, said: str) -> None:
    with pytest.raises(UnreadableError, match=said):
        parse_result(content)
